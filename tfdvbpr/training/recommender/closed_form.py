"""Recommenders that nothing is trained for: popularity and VisRank."""

from __future__ import annotations

from collections.abc import Callable

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.features.catalogue import catalogue_features, in_tenths
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.models.recommenders.popularity import popularity
from tfdvbpr.models.recommenders.visrank import visrank


def closed_form_factors(
    config: RecommenderConfig, dataset: PreparedDataset, *, told: Callable[[str], None] = lambda line: None
) -> Factors:
    """The factors of "popularity" or "visrank"."""
    interactions = dataset.interactions
    if config.model == "popularity":
        return popularity(interactions.training_counts, num_users=interactions.num_users)
    features = catalogue_features(dataset, config.features, progress=in_tenths(told, config.features))
    return visrank(features, interactions.training_matrix)
