"""Recommenders in closed form: popularity, and VisRank, which ranks items by their likeness to the user's items."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tfdvbpr.models.recommenders.base import Recommender
from tfdvbpr.models.recommenders.factors import Array, Factors

if TYPE_CHECKING:
    from tfdvbpr.config import RecommenderConfig
    from tfdvbpr.data.interactions import Interactions


class Popularity(Recommender):
    """x̂_ui = number of training actions on i, for every u."""

    @classmethod
    def closed_form(cls, config: RecommenderConfig, interactions: Interactions, features: Array | None) -> Factors:
        """Empty embeddings, and the counts as item biases."""
        return Factors(
            user_embeddings=np.zeros((interactions.num_users, 1), np.float32),
            item_embeddings=np.zeros((interactions.num_items, 1), np.float32),
            item_biases=interactions.training_counts.astype(np.float32),
        )


class VisRank(Recommender):
    """x̂_ui = mean cosine between i and the user's training items, on off-the-shelf features."""

    uses_features = True
    centres_items = True
    embeds_new_items = True

    @classmethod
    def closed_form(cls, config: RecommenderConfig, interactions: Interactions, features: Array | None) -> Factors:
        """See `mean_cosines`."""
        if features is None:
            raise ValueError("`features` must be given. Received None.")
        return mean_cosines(features, interactions.training_matrix)

    @classmethod
    def embed_new_features(cls, features: Array, factors: Factors) -> tuple[Array, Array]:
        """The features themselves, and no bias."""
        return features, np.zeros(len(features), np.float32)


def mean_cosines(features: npt.NDArray[np.float32], training_matrix: sparse.csr_matrix) -> Factors:
    """Factors whose scores are the mean cosine between an item and the user's training items.

    The features are centred on the catalogue's mean first: images on a white background share most of their raw
    features.

    Args:
        features: float32 [num_items, D], of any extractor.
        training_matrix: bool [num_users, num_items].
    """
    mean = features.mean(axis=0)
    items = centred(features, mean)
    counts = np.maximum(np.asarray(training_matrix.sum(axis=1)), 1)
    users = (training_matrix.astype(np.float32) @ items) / counts
    return Factors(users.astype(np.float32), items, np.zeros(len(items), np.float32), mean)


def centred(features: npt.NDArray[np.float32], mean: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32 [N, D]: features less a mean, each row scaled to length 1."""
    rest = features - mean
    return (rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-12)).astype(np.float32)
