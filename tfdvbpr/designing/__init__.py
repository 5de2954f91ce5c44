"""Designing: `Designer` (new products), `Tailor` (existing items), interpolation and random samples.

audience: users, groups and new users; options; folders: what is written; nearest_items: novelty.
optimize/: the objective, gradient ascent, GAN inversion, perceptual features and diverse selection, as graph functions.
"""
