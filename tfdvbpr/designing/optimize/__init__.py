"""Pure graph functions that `Designer`, `Tailor` and the exported designer share.

objective: preference less realism penalty; gradient_ascent: `maximize`; inversion: `invert` and `tailor`;
perceptual_features: distances of images; selection: which designs are kept.
"""
