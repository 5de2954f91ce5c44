"""Training: `engine` runs any training, `recommender` and `gan` say what a step is, `checkpoints` keeps the state on
disk, `distributed` spreads it over devices, `optimizers` has the update rules.
"""
