"""Attacks on recommenders by their own gradients: a photo changed imperceptibly so that its item is recommended.

perturbations: how a photo is changed (ATTACKS); goals: what the change is after (GOALS); exposure: what it brought;
defences: what happens to a photo before it is embedded (DEFENCES); attack: all of it together, written to a folder.
"""
