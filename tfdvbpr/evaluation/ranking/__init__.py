"""Evaluation of recommenders.

`metrics` lists ranking metrics in METRICS, computed from exact `ranks` and `top_k` lists; `legacy` is the authors'
sampled estimate. `evaluate` evaluates a run, `comparison` compares runs by the tests of `significance`, and
`experiment` trains and tunes models and compares them, which `experiment_report` writes down.
"""
