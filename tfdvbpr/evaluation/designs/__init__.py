"""Evaluation of designs for users.

`evaluate_designs` makes the paper's table of designs and `baselines`; `known_attributes` compares designs for simulated
users with what they are known to like.
"""
