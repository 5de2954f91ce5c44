"""The common form of every recommender here: x̂_ui = θ_uᵀ φ_i + b_i, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tfdvbpr.arrays import read_npz

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DistinctItems:
    """Which items share one embedding and one bias, so that their scores are computed once and tie exactly.

    Two equal columns of one matrix product may differ in their last bits on some BLAS kernels.

    Attributes:
        first: int32 [G], the first item of each group of equal items, ascending.
        group_of: int32 [num_items], the group of each item, an index into `first`.
    """

    first: npt.NDArray[np.int32]
    group_of: npt.NDArray[np.int32]

    @classmethod
    def of(cls, embeddings: Array, biases: Array) -> DistinctItems:
        """Groups the rows of embeddings, float32 [N, D], with biases, float32 [N]; 0 and -0 are equal."""
        width = embeddings.shape[1] + 1
        rows = np.zeros((len(embeddings), width + width % 2), np.float32)
        rows[:, : width - 1], rows[:, width - 1] = embeddings, biases
        rows += np.float32(0.0)
        bits = rows.view(np.uint64)
        multipliers = np.random.default_rng(0).integers(1, 2**63, bits.shape[1], dtype=np.uint64) | np.uint64(1)
        group_of = cls._grouped((bits * multipliers).sum(axis=1, dtype=np.uint64))
        repeats = np.flatnonzero(group_of != np.arange(len(rows)))
        if not np.array_equal(bits[repeats], bits[group_of[repeats]]):  # two rows with one hash
            group_of = cls._grouped(bits.view(np.dtype((np.void, bits.strides[0])))[:, 0])
        first, number = np.unique(group_of, return_inverse=True)
        return cls(first.astype(np.int32), number.astype(np.int32))

    @staticmethod
    def _grouped(keys: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """For each key, the first place where it stands."""
        _, first, number = np.unique(keys, return_index=True, return_inverse=True)
        return first[number]


@dataclass(frozen=True)
class Factors:
    """What evaluation, recommendation and serving need of a trained model.

    Attributes:
        user_embeddings: float32 [num_users, D], θ.
        item_embeddings: float32 [num_items, D], Φ(X_i) or a learned item factor.
        item_biases: float32 [num_items]; zeros for DVBPR, which has none.
        feature_mean: float32 [F], what features were centred on where the model centres them, so that items added later
            meet the same centre; None elsewhere.
        scores_are_exact: whether `scores` gives equal items equal scores to the bit, however many users it is called
            for.
    """

    scores_are_exact: ClassVar[bool] = False

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

    @property
    def num_users(self) -> int:
        """Rows of the user embeddings."""
        return len(self.user_embeddings)

    @property
    def num_items(self) -> int:
        """Rows of the item embeddings."""
        return len(self.item_embeddings)

    def scores(self, users: npt.NDArray[np.integer[Any]]) -> Array:
        """float32 [B, num_items]: x̂_ui of the given user rows for every item."""
        return self.scores_for(self.user_embeddings[users])

    def scores_for(self, user_embeddings: Array) -> Array:
        """float32 [B, num_items]: x̂ of embeddings, float32 [B, D], for every item; equal items have equal scores."""
        first, group_of = self.distinct_items.first, self.distinct_items.group_of
        if len(first) == len(group_of):
            scores: Array = user_embeddings @ self.item_embeddings.T + self.item_biases
            return scores
        distinct: Array = user_embeddings @ self.item_embeddings[first].T + self.item_biases[first]
        return distinct[:, group_of]

    def score_items(self, user: int, items: npt.NDArray[np.integer[Any]]) -> Array:
        """float32 [N]: x̂ of one user row for the given items.

        Sums row by row are the same for equal embeddings; rows of a matrix product may differ in the last bit.
        """
        products = self.item_embeddings[items] * self.user_embeddings[user]
        scores: Array = products.sum(axis=1) + self.item_biases[items]
        return scores

    def of_items(self, items: npt.NDArray[np.integer[Any]]) -> Factors:
        """The same for some of the items alone, int [N]: scores have a column for each of them."""
        return Factors(self.user_embeddings, self.item_embeddings[items], self.item_biases[items], self.feature_mean)

    @cached_property
    def distinct_items(self) -> DistinctItems:
        """Groups of items with the same embedding and bias."""
        return DistinctItems.of(self.item_embeddings, self.item_biases)

    def extended(self, items: Array, biases: Array) -> Factors:
        """With new items behind the old: their embeddings, float32 [N, D], and biases, float32 [N]."""
        return Factors(
            self.user_embeddings,
            np.concatenate([self.item_embeddings, items]),
            np.concatenate([self.item_biases, biases]),
            self.feature_mean,
        )

    def write(self, path: Path) -> None:
        """Writes the arrays as .npz."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        np.savez(path, **{name: array for name, array in arrays.items() if array is not None})

    @classmethod
    def read(cls, path: Path) -> Factors:
        """Reads what `write` wrote.

        Raises:
            OSError: if it cannot be opened.
            ValueError: if it is damaged, compressed, or its arrays do not agree.
        """
        arrays = read_npz(path)
        if any(array.dtype != np.float32 for array in arrays.values()):
            raise ValueError("every array must be float32")
        return cls(**arrays)
