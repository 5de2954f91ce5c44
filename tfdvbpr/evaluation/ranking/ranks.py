"""Exact ranks of held-out items over the whole catalogue: how many items score higher, and how many the same.

The scores of a block of users are computed tile by tile, each small enough for a core's own cache, and are counted
there before the next tile replaces them, so that the time is little more than that of the matrix products and the
scores of the whole catalogue never reach main memory. Each core works through user blocks of its own.
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

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.models.recommenders.factors import Array, Factors

_USERS = 256
_ITEMS = 1024  # at most 8 · 255: true values are counted in the 8 bytes of a word

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ranks:
    """The rank of each held-out item among the user's candidates, as two counts.

    Attributes:
        user_ids: int32 [N], user rows, one a held-out action.
        item_ids: int32 [N], the held-out item.
        num_higher: int64 [N], candidates with a higher score.
        num_equal: int64 [N], candidates with the same score, the held-out item not counted.
        num_candidates: int64 [N], items the user has no action on, in any part; the held-out item is not counted.
    """

    user_ids: npt.NDArray[np.int32]
    item_ids: npt.NDArray[np.int32]
    num_higher: npt.NDArray[np.int64]
    num_equal: npt.NDArray[np.int64]
    num_candidates: npt.NDArray[np.int64]


def held_out_ranks(factors: Factors, interactions: Interactions, split: Split) -> Ranks:
    """Ranks every held-out item of a part among all items that its user has not acted on.

    Training, validation, test and withheld positives of the user are masked.
    """
    user_ids, item_ids = interactions.of(split)
    acted = interactions.matrix(*Split)
    higher, equal = count_higher_and_equal(factors, user_ids, item_ids, acted)
    num_acted = np.diff(acted.indptr)[user_ids]
    return Ranks(user_ids, item_ids, higher, equal, interactions.num_items - num_acted)


@dataclass(frozen=True)
class TieGroups:
    """Groups of consecutive positions that tied items share, those without a held-out item left out.

    A ranking holds the candidates and all held-out items of the user. Two held-out items of a user with the same two
    counts either tie with each other and with the same candidates, or are adjacent with no candidate between them; in
    both cases they are a group, whose positions are known, and only the order within it is not.

    Attributes:
        users: int32 [U], user rows with a held-out item, ascending.
        num_held_out: int64 [U], held-out items a user.
        owner: int64 [G], position in `users`; ascending, and within a user the best group first.
        first: int64 [G], the group's first position, from 0.
        size: int64 [G], its positions.
        hits: int64 [G], held-out items among them, at least 1.
        hits_before: int64 [G], held-out items of the user in better groups.
    """

    users: npt.NDArray[np.int32]
    num_held_out: Counts
    owner: Counts
    first: Counts
    size: Counts
    hits: Counts
    hits_before: Counts


def tie_groups(ranks: Ranks) -> TieGroups:
    """The groups of every user, from the counts against the candidates."""
    order = np.lexsort((ranks.num_equal, ranks.num_higher, ranks.user_ids))
    keys = np.stack([ranks.user_ids[order], ranks.num_higher[order], ranks.num_equal[order]]).astype(np.int64)
    starts = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)][: len(order)])
    hits = np.diff(np.r_[starts, len(order)])
    users, owner, num_held_out = np.unique(keys[0], return_inverse=True, return_counts=True)
    begin = np.cumsum(num_held_out) - num_held_out
    hits_before = starts - begin[owner[starts]]
    return TieGroups(
        users=users.astype(np.int32),
        num_held_out=num_held_out,
        owner=owner[starts],
        first=keys[1, starts] + hits_before,
        size=keys[2, starts] + hits,
        hits=hits,
        hits_before=hits_before,
    )


def count_higher_and_equal(
    factors: Factors,
    user_ids: npt.NDArray[np.int32],
    item_ids: npt.NDArray[np.int32],
    masked: sparse.csr_matrix,
) -> tuple[Counts, Counts]:
    """Counts, for each held-out action, the items that score higher and those that score the same.

    Args:
        user_ids: int32 [N].
        item_ids: int32 [N], the held-out item of each action.
        masked: bool [num_users, num_items], items that are not counted; among them the held-out ones.

    Returns:
        int64 [N] and int64 [N]. A score that is no number is neither higher nor equal.
    """
    catalogue = _Scores(factors, masked) if factors.scores_are_exact else _Catalogue.of(factors, masked)
    higher, equal = np.zeros(len(user_ids), np.int64), np.zeros(len(user_ids), np.int64)

    def count(start: int) -> None:
        rows = slice(start, start + _USERS)
        higher[rows], equal[rows] = catalogue.count(user_ids[rows], item_ids[rows])

    # One product at a time a core: NumPy lets go of the interpreter while it multiplies and compares.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(count, range(0, len(user_ids), _USERS)))
    return higher, equal


@dataclass(frozen=True)
class _Scores:
    """Whole rows of scores, of factors that tie exactly by themselves."""

    factors: Factors
    masked: sparse.csr_matrix

    def count(self, user_ids: npt.NDArray[np.int32], item_ids: npt.NDArray[np.int32]) -> tuple[Counts, Counts]:
        """Counts of one block of actions, int64 [B] each."""
        scores, rows = self.factors.scores(user_ids), np.arange(len(user_ids))
        held_out = scores[rows, item_ids][:, None]
        pairs = self.masked[user_ids]
        scores[np.repeat(rows, np.diff(pairs.indptr)), pairs.indices] = np.nan
        with np.errstate(invalid="ignore"):
            return np.count_nonzero(scores > held_out, axis=1), np.count_nonzero(scores == held_out, axis=1)


@dataclass(frozen=True)
class _Catalogue:
    """Embeddings with the biases as one more dimension; items with equal embeddings are one column.

    Equal columns of a matrix product may differ in their last bits on some BLAS kernels, so each distinct embedding is
    scored once and counted as often as it occurs.
    """

    users: Array
    items: Array  # [D, columns padded to whole tiles]
    column_of: npt.NDArray[np.int32]  # [num_items]
    repeats: npt.NDArray[np.float64]  # [columns], items of each column beside the first
    masked: sparse.csr_matrix

    @classmethod
    def of(cls, factors: Factors, masked: sparse.csr_matrix) -> _Catalogue:
        distinct = factors.distinct_items
        repeats = np.bincount(distinct.group_of) - 1.0
        order = np.argsort(repeats > 0, kind="stable")  # those that are several items in as few tiles as can be
        column_of = np.empty(len(order), np.int32)
        column_of[order] = np.arange(len(order))
        first = distinct.first[order]
        users, items = factors.user_embeddings, factors.item_embeddings[first]
        if factors.item_biases.any():
            users = np.concatenate([users, np.ones((len(users), 1), np.float32)], axis=1)
            items = np.concatenate([items, factors.item_biases[first, None]], axis=1)
        padding = -len(items) % _ITEMS
        # A padded column scores NaN, which is neither higher nor equal.
        padded = np.pad(items.T, ((0, 0), (0, padding)), constant_values=np.nan)
        columns = column_of[distinct.group_of]
        return cls(users, np.ascontiguousarray(padded), columns, np.pad(repeats[order], (0, padding)), masked)

    def count(self, user_ids: npt.NDArray[np.int32], item_ids: npt.NDArray[np.int32]) -> tuple[Counts, Counts]:
        """Counts of one block of actions, int64 [B] each."""
        block = np.zeros((_USERS, self.users.shape[1]), np.float32)
        block[: len(user_ids)] = self.users[user_ids]
        own_columns = self.column_of[item_ids]
        held_out = self._held_out(block, own_columns)
        owners = _Pairs.of(np.arange(len(item_ids)), own_columns, self.items.shape[1])
        once, repeated = self._masked(user_ids)
        tile = np.empty((_USERS, _ITEMS), np.float32)
        found = np.empty((_USERS, _ITEMS), np.bool_)
        totals = np.zeros((2, _USERS), np.int64)
        with np.errstate(invalid="ignore"):
            for start in range(0, self.items.shape[1], _ITEMS):
                np.matmul(block, self.items[:, start : start + _ITEMS], out=tile)
                own = owners.within(start)
                tile[own] = held_out[own[0], 0]  # an item has one score, however it is computed
                tile[once.within(start)] = np.nan
                repeats = self.repeats[start : start + _ITEMS]
                several = np.flatnonzero(repeats > 0)
                masked = repeated.within(start)
                for total, compare in zip(totals, (np.greater, np.equal), strict=True):
                    compare(tile, held_out, out=found)
                    total += _count_true(found)
                    if len(several):
                        total += (found[:, several] @ repeats[several]).astype(np.int64)
                        total -= np.bincount(masked[0], weights=found[masked], minlength=_USERS).astype(np.int64)
        higher, equal = totals[:, : len(user_ids)]
        return higher, equal

    def _held_out(self, block: Array, columns: npt.NDArray[np.int32]) -> Array:
        """float32 [B, 1]: scores of the held-out items, by a product of the tiles' own shape.

        A product of another shape adds up in another order.
        """
        chosen = np.zeros((len(self.items), _ITEMS), np.float32)
        chosen[:, : len(columns)] = self.items[:, columns]
        scores: Array = np.diagonal(block @ chosen)[:, None].copy()
        return scores

    def _masked(self, user_ids: npt.NDArray[np.int32]) -> tuple[_Pairs, _Pairs]:
        """Masked pairs of the block whose column is one item, and those whose column is several."""
        pairs = self.masked[user_ids].tocoo()
        columns = self.column_of[pairs.col]
        single = self.repeats[columns] == 0
        width = self.items.shape[1]
        once = _Pairs.of(pairs.row[single], columns[single], width)
        return once, _Pairs.of(pairs.row[~single], columns[~single], width)


@dataclass(frozen=True)
class _Pairs:
    """Pairs of a row of the block and a column, sorted by column, and where each tile's begin."""

    rows: npt.NDArray[Any]
    columns: npt.NDArray[Any]
    edges: npt.NDArray[np.intp]

    @classmethod
    def of(cls, rows: npt.NDArray[Any], columns: npt.NDArray[Any], width: int) -> _Pairs:
        order = np.argsort(columns, kind="stable")
        edges = np.searchsorted(columns, np.arange(0, width + _ITEMS, _ITEMS), sorter=order)
        return cls(rows[order], columns[order], edges)

    def within(self, start: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Index arrays of the pairs in the tile that begins at column `start`."""
        here = slice(self.edges[start // _ITEMS], self.edges[start // _ITEMS + 1])
        return self.rows[here], self.columns[here] - start


def _count_true(found: npt.NDArray[np.bool_]) -> Counts:
    """int64 [B]: true values a row. Eight bytes are added at a time; a tile is narrow enough that none overflows."""
    lanes = found.view(np.uint64).sum(axis=1, dtype=np.uint64)[:, None]
    counts: Counts = lanes.view(np.uint8).sum(axis=1, dtype=np.int64)
    return counts
