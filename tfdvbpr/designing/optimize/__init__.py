"""Pure graph functions that `Designer`, `Tailor` and the exported designer have in common.

objective: preference less realism penalty; candidates: where an ascent starts; adam: its steps; gradient_ascent:
`maximize`, and which designs are kept; inversion: `invert`, `tailor` and perceptual features.
"""
