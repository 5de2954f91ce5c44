"""VisualEASE: EASE, with the weights of new items predicted from features of their images."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import sparse

from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders.base import Values
from tfdvbpr.models.recommenders.closed_form import centred
from tfdvbpr.models.recommenders.factors import Array, Factors
from tfdvbpr.models.recommenders.item_item import EASE, MOST_ITEMS, blocks_of_items, strongest
from tfdvbpr.models.recommenders.item_weights import ItemWeights

if TYPE_CHECKING:
    from tfdvbpr.config import RecommenderConfig
    from tfdvbpr.data.interactions import Interactions


_FEATURE_L2 = 10.0  # μ


class VisualEASE(EASE):
    """W_·i of EASE for an item with training actions, V [f_i; 1] for another: a linear map of off-the-shelf features.

    V = argmin Σ_i ‖W_·i - V [f_i; 1]‖² + μ‖V‖² over the items with training actions, so that what it gives an item
    without any is a mean of the weights of items with similar features. μ is 10. A new item adds nothing to the scores
    of others before the model is trained again.

    The map has a number for each item and feature, beside what EASE takes.
    """

    defaults: ClassVar[Values] = {"weight_l2": 15.0, "weight_dropout": 0.5, "user_balance": 0.25}
    uses_features: ClassVar[bool] = True
    centres_items: ClassVar[bool] = True
    embeds_new_items: ClassVar[bool] = True

    @classmethod
    def closed_form(cls, config: RecommenderConfig, interactions: Interactions, features: Array | None) -> ItemWeights:
        """See the class; `num_neighbours` are kept of either."""
        if features is None:
            raise ValueError("`features` must be given. Received None.")
        histories = sparse.csr_array(interactions.training_matrix).astype(np.float32)
        counts = interactions.training_counts
        num_items, trained = len(counts), np.flatnonzero(counts)
        if not config.num_neighbours and num_items * len(trained) > MOST_ITEMS**2:
            raise ConfigError(
                f"Items times items with training actions must be at most {MOST_ITEMS**2:,}. Received {num_items:,} × "
                f"{len(trained):,}. Set num_neighbours=200."
            )
        own = sparse.csr_array(sparse.vstack(list(cls.weights_of_items(config, histories))))
        mean = features.mean(axis=0)
        design = with_intercept(centred(features, mean))
        feature_weights = ridge(design[trained], own[trained], l2=_FEATURE_L2)
        kept = []
        for rows in blocks_of_items(num_items):
            block, unknown = own[rows].toarray(), np.flatnonzero(counts[rows] == 0)
            block[unknown] = design[rows][unknown] @ feature_weights.T
            kept.append(strongest(sparse.csr_array(block), config.num_neighbours))
        weights = sparse.csr_array(sparse.vstack(kept).T)
        return ItemWeights(histories, weights, feature_mean=mean, feature_weights=feature_weights)

    @classmethod
    def embed_new_features(cls, features: Array, factors: Factors) -> tuple[Array, Array]:
        """V [f; 1], float32 [N, num_items], and no bias."""
        assert isinstance(factors, ItemWeights)
        assert factors.feature_weights is not None
        return with_intercept(features) @ factors.feature_weights.T, np.zeros(len(features), np.float32)


def with_intercept(features: Array) -> Array:
    """float32 [N, F + 1]: features with a column of ones."""
    return np.pad(features, ((0, 0), (0, 1)), constant_values=1.0)


def ridge(design: Array, targets: sparse.csr_array, *, l2: float) -> Array:
    """float32 [M, F]: V that minimises ‖targets - design Vᵀ‖² + μ‖V‖², solved in the smaller of N and F.

    Args:
        design: float32 [N, F].
        targets: float32 [N, M].
        l2: μ, above 0.
    """
    rows = design.astype(np.float64)
    if len(rows) < rows.shape[1]:
        kernel = rows @ rows.T + l2 * np.eye(len(rows))
        solution = targets.T @ np.linalg.solve(kernel, rows)
    else:
        solution = np.linalg.solve(rows.T @ rows + l2 * np.eye(rows.shape[1]), (targets.T @ rows).T).T
    return np.ascontiguousarray(solution, np.float32)
