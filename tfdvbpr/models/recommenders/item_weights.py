"""Scores by item-item weights: the users' items and the weights, both sparse, in the place of factors."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tfdvbpr.arrays import read_npz
from tfdvbpr.models.recommenders.factors import Array, Factors

_DENSE_SHARE = 1 / 8
_MAPS = ("feature_mean", "feature_weights")
MOST_DENSE = 1 << 28
"""(users + items) × items of item-item weights that are exported: floats, 1 GiB."""


class ItemWeights(Factors):
    """x̂_ui = 1/n_u Σ_j W_ji over the user's n_u items, 0 for a user without any.

    As factors these are embeddings as long as the catalogue: θ_u has 1/n_u for each of the user's items, φ_i is the
    column of W. `user_embeddings` and `item_embeddings` make them dense; nothing but export reads them.

    Args:
        histories: float32 [num_users, num_items], 1 for each of a user's items.
        weights: float32 [num_items, num_items], W.
        feature_mean: float32 [F], what features were centred on, where new items are embedded by features.
        feature_weights: float32 [num_items, F + 1], V, which maps a new item's features and 1 to its column of W.

    Raises:
        ValueError: if the sizes do not agree.

    Example:
        >>> one = sparse.csr_array(np.eye(1, 2, dtype=np.float32))
        >>> ItemWeights(one, sparse.csr_array(np.array([[0, 3], [3, 0]], np.float32))).scores(np.array([0])).tolist()
        [[0.0, 3.0]]
    """

    scores_are_exact: ClassVar[bool] = True

    def __init__(
        self,
        histories: sparse.csr_array,
        weights: sparse.csr_array,
        *,
        feature_mean: Array | None = None,
        feature_weights: Array | None = None,
    ) -> None:
        if weights.shape != (histories.shape[1],) * 2:
            raise ValueError(
                f"`histories` [U, I] and `weights` [I, I] must agree. Received {histories.shape} and {weights.shape}."
            )
        expected = None if feature_mean is None else (weights.shape[0], feature_mean.size + 1)
        found = None if feature_weights is None else feature_weights.shape
        if found != expected:
            raise ValueError(f"`feature_weights` must be [I, F + 1], {expected}. Received {found}.")
        self.histories = histories
        self.weights = weights
        object.__setattr__(self, "feature_mean", feature_mean)  # a field of a frozen dataclass
        self.feature_weights = feature_weights

    @property
    def num_users(self) -> int:
        """Rows of the histories."""
        return int(self.histories.shape[0])

    @property
    def num_items(self) -> int:
        """Size of the catalogue."""
        return int(self.histories.shape[1])

    @cached_property
    def _counts(self) -> Array:
        """float32 [num_users, 1]: n_u, at least 1."""
        return np.maximum(np.diff(self.histories.indptr), 1).astype(np.float32)[:, None]

    @cached_property
    def user_embeddings(self) -> Array:
        """float32 [num_users, num_items], dense."""
        users: Array = self.histories.toarray() / self._counts
        return users

    @cached_property
    def mean_user(self) -> Array:
        """float32 [num_items]: the mean of the user embeddings."""
        mean: Array = (self.histories.T @ (1 / self._counts[:, 0].astype(np.float64))) / self.num_users
        return mean.astype(np.float32)

    @cached_property
    def item_embeddings(self) -> Array:
        """float32 [num_items, num_items], dense: Wᵀ."""
        return np.ascontiguousarray(self.weights.toarray().T)

    @property
    def item_biases(self) -> Array:
        """float32 [num_items]: none, so zeros."""
        return np.zeros(self.num_items, np.float32)

    @cached_property
    def _multiplied(self) -> Any:
        """W as what a product with it is fastest with."""
        return self.weights.toarray() if self.weights.nnz > _DENSE_SHARE * np.prod(self.weights.shape) else self.weights

    def scores(self, users: npt.NDArray[np.integer[Any]]) -> Array:
        """float32 [B, num_items]: x̂_ui of the given user rows for every item; equal items have equal scores.

        Every sum goes through the user's items in the order of the catalogue, whatever it is computed with.
        """
        return self._products(self.histories[users]) / self._counts[users]

    def scores_for(self, user_embeddings: Array) -> Array:
        """float32 [B, num_items]: x̂ of embeddings, float32 [B, num_items], for every item."""
        return self._products(sparse.csr_array(user_embeddings))

    def score_items(self, user: int, items: npt.NDArray[np.integer[Any]]) -> Array:
        """float32 [N]: x̂ of one user row for the given items."""
        scores: Array = self.scores(np.array([user]))[0, items]
        return scores

    def of_items(self, items: npt.NDArray[np.integer[Any]]) -> ItemWeights:
        """See `Factors.of_items`."""
        return _SomeItems(self, items)

    def _products(self, users: sparse.csr_array) -> Array:
        products = users @ self._multiplied
        scores: Array = products.toarray() if sparse.issparse(products) else products
        return scores

    def write(self, path: Path) -> None:
        """Writes the sparse arrays as .npz."""
        arrays = {"histories": self.histories, "weights": self.weights}
        parts = {f"{name}_{part}": getattr(a, part) for name, a in arrays.items() for part in ("indices", "indptr")}
        maps = {name: getattr(self, name) for name in _MAPS if self.feature_weights is not None}
        np.savez(path, **parts, weights_data=self.weights.data, **maps)

    def extended(self, items: Array, biases: Array) -> ItemWeights:
        """With new items behind the old, whose columns of W are given, float32 [N, num_items]; `biases` are 0."""
        size = self.num_items + len(items)
        histories = sparse.csr_array(
            (self.histories.data, self.histories.indices, self.histories.indptr), (self.num_users, size)
        )
        columns = sparse.hstack([self.weights, sparse.csr_array(items.T)])
        weights = sparse.csr_array(sparse.vstack([columns, sparse.csr_array((len(items), size), dtype=np.float32)]))
        maps = None if self.feature_weights is None else np.pad(self.feature_weights, ((0, len(items)), (0, 0)))
        return ItemWeights(histories, weights, feature_mean=self.feature_mean, feature_weights=maps)

    @classmethod
    def read(cls, path: Path) -> ItemWeights:
        """Reads what `write` wrote.

        Raises:
            OSError: if it cannot be opened.
            ValueError: if it is damaged, compressed, or its arrays do not agree.
        """
        names = {"histories_indices", "histories_indptr", "weights_indices", "weights_indptr", "weights_data"}
        arrays = read_npz(path)
        maps = {name: arrays.pop(name) for name in _MAPS if name in arrays}
        if set(arrays) != names or any(array.ndim != 1 for array in arrays.values()):
            raise ValueError(f"it must hold the vectors {', '.join(sorted(names))}")
        if any(array.dtype != np.float32 for array in (arrays["weights_data"], *maps.values())):
            raise ValueError("the weights must be float32")
        num_users, num_items = len(arrays["histories_indptr"]) - 1, len(arrays["weights_indptr"]) - 1
        ones = np.ones(len(arrays["histories_indices"]), np.float32)
        histories = (ones, arrays["histories_indices"], arrays["histories_indptr"])
        weights = (arrays["weights_data"], arrays["weights_indices"], arrays["weights_indptr"])
        read = sparse.csr_array(histories, (num_users, num_items)), sparse.csr_array(weights, (num_items, num_items))
        for each in read:
            each.check_format(full_check=True)
        return cls(*read, **maps)


class _SomeItems(ItemWeights):
    """Scores of some of the items alone; the users' items are still those of the whole catalogue."""

    def __init__(self, whole: ItemWeights, items: npt.NDArray[np.integer[Any]]) -> None:
        self.histories = whole.histories
        self.weights = whole.weights[:, items]

    @property
    def num_items(self) -> int:
        """How many items have a score."""
        return int(self.weights.shape[1])
