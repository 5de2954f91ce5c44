"""The k best items of many users at once: of whole rows of scores, or tile by tile where the catalogue is large."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tfdvbpr.models.recommenders.factors import Array, DistinctItems, Factors

_CHUNK = 64
_ROW_BYTES = 32 << 20  # of a block of whole rows of scores
_USERS, _ITEMS = 256, 8192  # of a tile, whose scores stay in the cache of a core
_LEAST_TILES = 8  # of k: longer lists are ranked by whole rows
NO_ITEM = -1

Rows = npt.NDArray[np.int32]


def best_columns(scores: Array, k: int) -> npt.NDArray[np.int64]:
    """int64 [B, k]: columns of each row's k highest values, the highest first, equal ones ascending."""
    num_columns = scores.shape[1]
    width = max(1, min(_CHUNK, num_columns // k))
    chunks = np.maximum.reduceat(scores, np.arange(0, num_columns, width), axis=1)
    # The k-th best chunk's maximum: at least k values reach it, and fewer than k chunks hold a higher one.
    bound = np.partition(chunks, chunks.shape[1] - k, axis=1)[:, chunks.shape[1] - k, None]
    rows, columns = np.nonzero(scores > bound)
    left = k - np.bincount(rows, minlength=len(scores))
    short = np.flatnonzero(left > 0)
    tied_rows, tied_columns = np.nonzero(scores[short] == bound[short])
    number = np.arange(len(tied_rows)) - np.searchsorted(tied_rows, np.arange(len(short)))[tied_rows]
    first = number < left[short][tied_rows]
    rows = np.r_[rows, short[tied_rows[first]]]
    columns = np.r_[columns, tied_columns[first]]
    order = np.lexsort((columns, -scores[rows, columns], rows))
    begin = np.searchsorted(rows[order], np.arange(len(scores)))
    best: npt.NDArray[np.int64] = columns[order][begin[:, None] + np.arange(k)]
    return best


@dataclass(frozen=True)
class TopItems:
    """Finds the k best of some items for blocks of users.

    Small catalogues, and factors that are no embeddings, are ranked by whole rows of scores. A large catalogue is
    scored tile by tile, and of a tile only scores above the k-th best so far are looked at. Memory stays near 64 MiB a
    call, whatever the sizes, and calls may run side by side.

    Attributes:
        factors: of the items that may be in a list.
        items: int32 [N], ascending: rows of those items in the catalogue.
        excluded: bool [num_users, num_items] of the whole catalogue, what is in no list of the user; None for nothing.
        k: how many.
    """

    factors: Factors
    items: Rows
    excluded: sparse.csr_matrix | None
    k: int

    @classmethod
    def of(cls, factors: Factors, items: Rows, excluded: sparse.csr_matrix | None, *, k: int) -> TopItems:
        """`factors` are those of the whole catalogue, `items` int32 [N] the rows that may be in a list, ascending."""
        own = factors if len(items) == factors.num_items else factors.of_items(items)
        if excluded is not None and own is not factors:
            excluded = excluded.tocsc()[:, items].tocsr()
        return cls(own, items, excluded, k)

    @property
    def block_users(self) -> int:
        """Users that are best ranked in one call."""
        return _USERS if self._is_tiled else max(1, _ROW_BYTES // (4 * max(len(self.items), 1)))

    @property
    def _is_tiled(self) -> bool:
        return len(self.items) > _ITEMS >= _LEAST_TILES * self.k and not self.factors.scores_are_exact

    def __call__(self, users: Rows) -> tuple[Rows, Array]:
        """The lists of user rows, int32 [B].

        Returns:
            int32 [B, k], rows of the catalogue, the best first and equal scores in the catalogue's order; -1 where no
            item is left. float32 [B, k], their scores; -inf there.
        """
        rows = np.full((len(users), self.k), NO_ITEM, np.int32)
        scores = np.full((len(users), self.k), -np.inf, np.float32)
        if len(self.items) and len(users):
            columns, best = self._tiled(users) if self._is_tiled else self._whole(users)
            rows[:, : columns.shape[1]] = np.where(best > -np.inf, self.items[columns], NO_ITEM)
            scores[:, : columns.shape[1]] = best
        return rows, scores

    def _whole(self, users: Rows) -> tuple[npt.NDArray[np.int64], Array]:
        scores = self.factors.scores(users)
        if self.excluded is not None:
            masked = self.excluded[users]
            scores[np.repeat(np.arange(len(users)), np.diff(masked.indptr)), masked.indices] = -np.inf
        best = best_columns(scores, min(self.k, scores.shape[1]))
        return best, np.take_along_axis(scores, best, axis=1)

    def _tiled(self, users: Rows) -> tuple[npt.NDArray[np.int64], Array]:
        matrix, layout = self._matrix, self._layout
        own = self.factors.user_embeddings[users]
        if matrix.shape[1] > own.shape[1]:
            own = np.concatenate([own, np.ones((len(own), 1), np.float32)], axis=1)
        masked_rows, masked_places = self._masked(users)
        best, last = _Best(len(users), self.k), np.zeros((len(users), 1), np.float32)
        for start in range(0, len(layout.order), _ITEMS):
            groups = layout.groups[start : start + _ITEMS]
            distinct = own @ matrix[groups[0] : groups[-1] + 1].T
            if start and groups[0] == layout.groups[start - 1]:
                distinct[:, :1] = last  # an item has one score, whatever product it was in
            last = distinct[:, -1:].copy()
            scores = distinct if len(groups) == distinct.shape[1] else distinct[:, groups - groups[0]]
            here = slice(*np.searchsorted(masked_places, [start, start + _ITEMS]))
            scores[masked_rows[here], masked_places[here] - start] = -np.inf
            best.add(scores, layout.order[start : start + _ITEMS])
        return best.lists()

    def _masked(self, users: Rows) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Rows of the block and places in the layout of what is excluded, by place."""
        if self.excluded is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        pairs = self.excluded[users].tocoo()
        places = self._layout.place_of[pairs.col]
        order = np.argsort(places, kind="stable")
        return pairs.row[order], places[order]

    @cached_property
    def _layout(self) -> _Layout:
        return _Layout.of(self.factors.distinct_items)

    @cached_property
    def _matrix(self) -> Array:
        """float32 [G, D] or [G, D + 1]: distinct embeddings, with the biases as one more dimension."""
        first, biases = self.factors.distinct_items.first, self.factors.item_biases
        embeddings = self.factors.item_embeddings if len(first) == len(biases) else self.factors.item_embeddings[first]
        if biases.any():
            embeddings = np.concatenate([embeddings, biases[first, None]], axis=1)
        return embeddings


@dataclass(frozen=True)
class _Layout:
    """The items in an order in which equal ones are neighbours.

    Attributes:
        order: int64 [N], items.
        groups: int32 [N], ascending: the group of equal items at each place.
        place_of: int64 [N], where each item stands.
    """

    order: npt.NDArray[np.int64]
    groups: Rows
    place_of: npt.NDArray[np.int64]

    @classmethod
    def of(cls, distinct: DistinctItems) -> _Layout:
        order = np.argsort(distinct.group_of, kind="stable")
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        return cls(order, distinct.group_of[order], places)


class _Best:
    """The k best so far of a block of users, by score and then by item; what was found since waits to be merged."""

    def __init__(self, num_users: int, k: int) -> None:
        self._num_users, self._k = num_users, k
        self._bounds = np.full((num_users, 1), -np.inf, np.float32)  # the k-th best so far
        self._rows, self._items = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._scores = np.zeros(0, np.float32)
        self._found: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array]] = []
        self._num_found = 0

    def add(self, scores: Array, items: npt.NDArray[np.int64]) -> None:
        """Takes what is better than the k-th best of scores, float32 [B, W], of items int64 [W]."""
        if np.isinf(self._bounds).any():  # nearly everything is: at first, and where few items are allowed
            columns = best_columns(scores, min(self._k, len(items)))
            rows = np.repeat(np.arange(self._num_users), columns.shape[1])
            columns = columns.ravel()
        else:
            rows, columns = np.nonzero(scores > self._bounds)
        self._found.append((rows, items[columns], scores[rows, columns]))
        self._num_found += len(rows)
        if np.isinf(self._bounds).any() or self._num_found > 2 * self._num_users * self._k:
            self._merge()

    def _merge(self) -> None:
        rows, items, scores = (
            np.concatenate(parts) for parts in zip((self._rows, self._items, self._scores), *self._found, strict=True)
        )
        self._found, self._num_found = [], 0
        order = np.lexsort((items, -scores, rows))
        rows = rows[order]
        begin = np.searchsorted(rows, np.arange(self._num_users))
        kept = np.arange(len(rows)) - begin[rows] < self._k
        self._rows, self._items, self._scores = rows[kept], items[order][kept], scores[order][kept]
        counts = np.bincount(self._rows, minlength=self._num_users)
        ends = np.cumsum(counts)
        self._bounds = np.where(counts == self._k, self._scores[ends - 1], -np.inf)[:, None].astype(np.float32)

    def lists(self) -> tuple[npt.NDArray[np.int64], Array]:
        """Items int64 [B, k] and scores float32 [B, k], -inf past a user's last one."""
        self._merge()
        items = np.zeros((self._num_users, self._k), np.int64)
        scores = np.full((self._num_users, self._k), -np.inf, np.float32)
        begin = np.searchsorted(self._rows, np.arange(self._num_users))
        places = np.arange(len(self._rows)) - begin[self._rows]
        items[self._rows, places], scores[self._rows, places] = self._items, self._scores
        return items, scores
