"""Recommenders that nothing is trained for: popularity and VisRank."""

from __future__ import annotations

import numpy as np

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.factors import Factors
from tfdvbpr.models.popularity import popularity
from tfdvbpr.models.visrank import FEATURE_EXTRACTORS, visrank

EXTRACTOR = "colour-and-edges"
_BATCH = 512


def closed_form_factors(model: str, dataset: PreparedDataset) -> Factors:
    """The factors of "popularity" or "visrank"."""
    interactions = dataset.interactions
    if model == "popularity":
        return popularity(interactions.training_counts, num_users=interactions.num_users)
    extract = FEATURE_EXTRACTORS[EXTRACTOR]
    parts = []
    for start in range(0, interactions.num_items, _BATCH):
        rows = np.arange(start, min(start + _BATCH, interactions.num_items), dtype=np.int32)
        parts.append(extract(dataset.images.read(rows)))
    return visrank(np.concatenate(parts), interactions.training_matrix)
