"""Designing: `Designer` (new products), `Tailor` (existing items), interpolation and random samples.

audience: users, groups and new users; options; folders, tailored_folders: what is written; nearest_items: novelty.
optimize/: the objective, candidates, gradient ascent, diverse selection, GAN inversion and perceptual features, as
graph functions.
"""
