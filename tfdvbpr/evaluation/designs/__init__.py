"""Evaluation of designs for users.

`evaluate_designs` makes the paper's table of designs and `baselines`, which `design_report` writes; `known_attributes`
compares designs for simulated users with what they are known to like; `panel` asks people.
"""
