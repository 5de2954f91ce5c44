"""The common form of every recommender here: x̂_ui = θ_uᵀ φ_i + b_i, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Factors:
    """What evaluation, recommendation and serving need of a trained model.

    Attributes:
        user_embeddings: float32 [num_users, D], θ.
        item_embeddings: float32 [num_items, D], Φ(X_i) or a learned item factor.
        item_biases: float32 [num_items]; zeros for DVBPR, which has none.
        feature_mean: float32 [F], what features were centred on where the model centres them, so that items added later
            meet the same centre; None elsewhere.
    """

    user_embeddings: Array
    item_embeddings: Array
    item_biases: Array
    feature_mean: Array | None = None

    def __post_init__(self) -> None:
        users, items, biases = self.user_embeddings.shape, self.item_embeddings.shape, self.item_biases.shape
        if len(users) != 2 or len(items) != 2 or users[1] != items[1] or biases != items[:1]:
            raise ValueError(
                "`user_embeddings` [U, D], `item_embeddings` [I, D] and `item_biases` [I] must agree. "
                f"Received {users}, {items} and {biases}."
            )

    def scores(self, users: npt.NDArray[np.integer[Any]]) -> Array:
        """float32 [B, num_items]: x̂_ui of the given user rows for every item."""
        return self.scores_for(self.user_embeddings[users])

    def scores_for(self, user_embeddings: Array) -> Array:
        """float32 [B, num_items]: x̂ of embeddings, float32 [B, D], for every item."""
        scores: Array = user_embeddings @ self.item_embeddings.T + self.item_biases
        return scores

    def write(self, path: Path) -> None:
        """Writes the arrays as .npz."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        np.savez(path, **{name: array for name, array in arrays.items() if array is not None})

    @classmethod
    def read(cls, path: Path) -> Factors:
        """Reads what `write` wrote; pickled objects are refused."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{field.name: arrays[field.name] for field in fields(cls) if field.name in arrays})
