"""A catalogue's off-the-shelf features inside a model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tfdvbpr.models.recommenders.base import PairwiseRecommender, rows_of
from tfdvbpr.models.recommenders.visrank import centred


class Featured(PairwiseRecommender):
    """Holds f_i of every item, which training leaves alone.

    Args:
        feature_dim: F, length of f_i.
        **kwargs: of the recommender beside it.
    """

    uses_features = True

    def __init__(self, *, feature_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.feature_dim = feature_dim
        self.features = self.add_weight(
            name="features", shape=(self.num_items, feature_dim), initializer="zeros", trainable=False
        )

    def set_features(self, features: npt.NDArray[np.float32]) -> None:
        """Takes float32 [num_items, F], centres each feature on the catalogue and scales each item to length 1.

        Pictures on a white ground share most of their raw features; what they share says nothing about taste.
        """
        self.features.assign(centred(features, features.mean(axis=0)))

    def features_of(self, item_ids: Any) -> Any:
        """float32 [M, F]."""
        return rows_of(self.features, item_ids)

    def _weight(self, name: str, shape: tuple[int, ...]) -> Any:
        """A map out of feature space, trained like the rest of the network; f_i has length 1, so σ is 1."""
        initial = keras.initializers.RandomNormal(stddev=self.user_stddev, seed=self.seed + 7)
        return self.add_weight(name=name, shape=shape, initializer=initial)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras."""
        return {**super().get_config(), "feature_dim": self.feature_dim}
