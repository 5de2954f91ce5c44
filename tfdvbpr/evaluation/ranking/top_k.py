"""Figures of the lists people would see: catalogue coverage, novelty, visual diversity.

A list holds the k best items for a user, without those she has acted on in any other part of the split than the one
that is evaluated; these are the rankings that recall looks at. It is a real list and no expectation: equal scores stand
in the order of the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.models.recommenders.factors import Array, Factors

_BLOCK_BYTES = 32 << 20
_CHUNK = 64
_NOTHING = -1

Lists = npt.NDArray[np.int32]
Figures = npt.NDArray[np.float64]
Features = Callable[[npt.NDArray[np.int32]], Array]


def best_items(
    factors: Factors, interactions: Interactions, split: Split, *, k: int, users: npt.NDArray[np.int32] | None = None
) -> Lists:
    """int32 [U, k]: item rows, the best first and equal scores in the order of the catalogue; -1 where there are none.

    Works through blocks of users, so that memory stays near 256 MiB whatever the sizes.

    Args:
        factors: of the model.
        interactions: of the dataset.
        split: the part that is evaluated; a user's items in every other part are left out of her list.
        k: length of a list.
        users: int32 [U], user rows; left out, those with an action in the part, ascending.
    """
    if users is None:
        users = np.unique(interactions.of(split)[0])
    known = interactions.matrix(*(part for part in Split if part != split))
    lists = np.full((len(users), k), _NOTHING, np.int32)
    rows = max(1, _BLOCK_BYTES // (4 * interactions.num_items))
    for start in range(0, len(users), rows):
        block = users[start : start + rows]
        scores = factors.scores(block)
        masked = known[block]
        scores[np.repeat(np.arange(len(block)), np.diff(masked.indptr)), masked.indices] = -np.inf
        best = _best_columns(scores, min(k, interactions.num_items))
        missing = np.take_along_axis(scores, best, axis=1) == -np.inf
        lists[start : start + rows, : best.shape[1]] = np.where(missing, _NOTHING, best)
    return lists


def _best_columns(scores: Array, k: int) -> npt.NDArray[np.int64]:
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


def coverage(lists: Lists, *, num_items: int) -> float:
    """The share of the catalogue that stands in at least one list."""
    return len(np.unique(lists[lists != _NOTHING])) / num_items


def novelty(lists: Lists, training_counts: npt.NDArray[np.int64]) -> Figures:
    """float64 [U]: mean of -log2 of the popularity share of a list's items, in bits; NaN for an empty list.

    The share is (training actions on the item + 1) / (all training actions + items), so that an item nobody acted on
    has one too. Higher is less popular, which is no merit by itself.
    """
    shares = (training_counts + 1) / (training_counts.sum() + len(training_counts))
    return _mean(lists, -np.log2(shares)[lists])


def diversity(lists: Lists, features: Features) -> Figures:
    """float64 [U]: mean of 1 - cosine over the pairs of a list's items, in [0, 2]; NaN with fewer than two items.

    Args:
        lists: from `best_items`.
        features: float32 [N, D] of N item rows; called once, with every item that stands in a list.
    """
    items, place = np.unique(lists[lists != _NOTHING], return_inverse=True)
    known = features(items)
    units = known / np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-12)
    counts = np.count_nonzero(lists != _NOTHING, axis=1)
    ends = np.cumsum(counts)
    pairs = np.maximum(counts * (counts - 1.0), 1.0)
    # The cosines of all ordered pairs sum to ‖Σ unit vectors‖² less the squares of the vectors themselves.
    totals, own = np.zeros(len(lists)), (units.astype(np.float64) ** 2).sum(axis=1)
    for user, (end, count) in enumerate(zip(ends, counts, strict=True)):
        mine = place[end - count : end]
        totals[user] = (units[mine].sum(axis=0, dtype=np.float64) ** 2).sum() - own[mine].sum()
    return np.where(counts > 1, 1.0 - totals / pairs, np.nan)


def _mean(lists: Lists, values: npt.NDArray[Any]) -> Figures:
    there = lists != _NOTHING
    counts = np.count_nonzero(there, axis=1)
    sums = np.where(there, values, 0.0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
