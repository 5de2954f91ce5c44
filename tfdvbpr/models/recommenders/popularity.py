"""Popularity: every user gets the items with the most training actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfdvbpr.models.recommenders.base import Recommender
from tfdvbpr.models.recommenders.factors import Array, Factors

if TYPE_CHECKING:
    from tfdvbpr.data.interactions import Interactions


class Popularity(Recommender):
    """x̂_ui = number of training actions on i, for every u."""

    @classmethod
    def closed_form(cls, interactions: Interactions, features: Array | None) -> Factors:
        """Empty embeddings, and the counts as item biases."""
        return Factors(
            user_embeddings=np.zeros((interactions.num_users, 1), np.float32),
            item_embeddings=np.zeros((interactions.num_items, 1), np.float32),
            item_biases=interactions.training_counts.astype(np.float32),
        )
