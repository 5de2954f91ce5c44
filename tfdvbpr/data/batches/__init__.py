"""Batches for ranking losses (`ranking`), what they are sampled from (`source`), and negative samplers (`samplers`)."""
