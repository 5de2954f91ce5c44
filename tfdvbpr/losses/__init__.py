"""Losses: `ranking` of recommenders, `adversarial` of GANs."""
