"""Metrics of generated images against real photos.

`metrics` lists them in METRICS and computes them from `distances` and `manifolds`, functions of arrays. `features` are
what images are compared by, of ImageNet networks or of `scratch_network`, which is trained on the photos; `photos` and
`category_classifier` describe the real photos; `evaluate_gan` compares GANs, and `gan_report` writes the result.
"""
