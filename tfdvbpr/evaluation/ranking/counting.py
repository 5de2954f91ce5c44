"""How many items score above a held-out one, over the whole catalogue: the inner loop of every exact figure.

The scores of a block of users are made tile by tile, each small enough for a core's own cache, and are counted there
before the next tile replaces them, so that the time is little more than that of the matrix products and the scores of
the whole catalogue never meet main memory. Each core works through user blocks of its own.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from tfdvbpr.models.recommenders.factors import Array, Factors

_USERS = 256
_ITEMS = 1024  # at most 8 · 255: true values are counted in the 8 bytes of a word

Counts = npt.NDArray[np.int64]


def count_higher_and_equal(
    factors: Factors,
    user_ids: npt.NDArray[np.int32],
    item_ids: npt.NDArray[np.int32],
    masked: sparse.csr_matrix,
) -> tuple[Counts, Counts]:
    """Counts, for each held-out action, the items that score higher and those that score the same.

    Args:
        factors: of the model.
        user_ids: int32 [N].
        item_ids: int32 [N], the held-out item of each action.
        masked: bool [num_users, num_items], items that are not counted; among them the held-out ones.

    Returns:
        int64 [N] and int64 [N]. A score that is no number is neither higher nor equal.
    """
    catalogue = _Catalogue.of(factors, masked)
    higher, equal = np.zeros(len(user_ids), np.int64), np.zeros(len(user_ids), np.int64)

    def count(start: int) -> None:
        rows = slice(start, start + _USERS)
        higher[rows], equal[rows] = catalogue.count(user_ids[rows], item_ids[rows])

    # One product at a time a core: NumPy lets go of the interpreter while it multiplies and compares.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(count, range(0, len(user_ids), _USERS)))
    return higher, equal


@dataclass(frozen=True)
class _Catalogue:
    """Embeddings with the biases as one more dimension, items padded to whole tiles."""

    users: Array
    items: Array  # [D, padded items]
    masked: sparse.csr_matrix
    num_items: int

    @classmethod
    def of(cls, factors: Factors, masked: sparse.csr_matrix) -> _Catalogue:
        users, items = factors.user_embeddings, factors.item_embeddings
        if factors.item_biases.any():
            users = np.concatenate([users, np.ones((len(users), 1), np.float32)], axis=1)
            items = np.concatenate([items, factors.item_biases[:, None]], axis=1)
        padding = -len(items) % _ITEMS
        # A padded item scores NaN, which is neither higher nor equal.
        padded = np.pad(items.T, ((0, 0), (0, padding)), constant_values=np.nan)
        return cls(users, np.ascontiguousarray(padded), masked, len(items))

    def count(self, user_ids: npt.NDArray[np.int32], item_ids: npt.NDArray[np.int32]) -> tuple[Counts, Counts]:
        """Counts of one block of actions, int64 [B] each."""
        block = np.zeros((_USERS, self.users.shape[1]), np.float32)
        block[: len(user_ids)] = self.users[user_ids]
        held_out = self._held_out(block, item_ids)
        rows, columns, edges = self._masked_by_tile(user_ids)
        tile = np.empty((_USERS, _ITEMS), np.float32)
        found = np.empty((_USERS, _ITEMS), np.bool_)
        totals = np.zeros((2, _USERS), np.int64)
        with np.errstate(invalid="ignore"):
            for number, start in enumerate(range(0, self.items.shape[1], _ITEMS)):
                np.matmul(block, self.items[:, start : start + _ITEMS], out=tile)
                here = slice(edges[number], edges[number + 1])
                tile[rows[here], columns[here] - start] = np.nan
                for total, compare in zip(totals, (np.greater, np.equal), strict=True):
                    compare(tile, held_out, out=found)
                    total += _count_true(found)
        higher, equal = totals[:, : len(user_ids)]
        return higher, equal

    def _held_out(self, block: Array, item_ids: npt.NDArray[np.int32]) -> Array:
        """float32 [B, 1]: scores of the held-out items, by products of the tiles' own shape.

        A product of another shape adds up in another order, and items with the same embedding would no longer tie.
        """
        chosen = np.zeros((len(self.items), _ITEMS), np.float32)
        chosen[:, : len(item_ids)] = self.items[:, item_ids]
        scores: Array = np.diagonal(block @ chosen)[:, None].copy()
        return scores

    def _masked_by_tile(self, user_ids: npt.NDArray[np.int32]) -> tuple[Any, Any, Any]:
        """Rows of the block and items of its masked pairs, by item, and where each tile's begin."""
        pairs = self.masked[user_ids].tocoo()
        order = np.argsort(pairs.col, kind="stable")
        columns = pairs.col[order]
        edges = np.searchsorted(columns, np.arange(0, self.items.shape[1] + _ITEMS, _ITEMS))
        return pairs.row[order], columns, edges


def _count_true(found: npt.NDArray[np.bool_]) -> Counts:
    """int64 [B]: true values a row. Eight bytes are added at a time; a tile is narrow enough that none overflows."""
    lanes = found.view(np.uint64).sum(axis=1, dtype=np.uint64)[:, None]
    counts: Counts = lanes.view(np.uint8).sum(axis=1, dtype=np.int64)
    return counts
