"""Metrics of generated images against real photos.

`metrics` lists them in METRICS and computes them from `distances`, functions of arrays; `photos` and
`category_classifier` describe the real photos; `evaluate_gan` compares GANs, and `gan_report` writes the result.
"""
