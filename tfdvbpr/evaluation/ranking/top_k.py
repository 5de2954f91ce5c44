"""Lists of each user's k best items, and their metrics: catalogue coverage, novelty, visual diversity.

A list leaves out the items that the user has acted on in any other part of the split than the one that is evaluated, as
the rankings of recall do. It is a real list and no expectation: equal scores are in the order of the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.chunks import map_chunks
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.models.recommenders.factors import Array, Factors
from tfdvbpr.models.recommenders.top_k import best_columns

_BLOCK_BYTES = 32 << 20
_IMAGES = 512
_NO_ITEM = -1

Lists = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]
Features = Callable[[npt.NDArray[np.int32]], Array]


def best_items(
    factors: Factors, interactions: Interactions, split: Split, *, k: int, users: npt.NDArray[np.int32] | None = None
) -> Lists:
    """int32 [U, k]: item rows, the best first and equal scores in the order of the catalogue; -1 where there are none.

    Works through blocks of users, so that memory stays near 256 MiB whatever the sizes.

    Args:
        split: the part that is evaluated; a user's items in every other part are left out.
        users: int32 [U], user rows; left out, those with an action in the part, ascending.
    """
    if users is None:
        users = np.unique(interactions.of(split)[0])
    known = interactions.matrix(*(part for part in Split if part != split))
    lists = np.full((len(users), k), _NO_ITEM, np.int32)
    rows = max(1, _BLOCK_BYTES // (4 * interactions.num_items))
    for start in range(0, len(users), rows):
        block = users[start : start + rows]
        scores = factors.scores(block)
        masked = known[block]
        scores[np.repeat(np.arange(len(block)), np.diff(masked.indptr)), masked.indices] = -np.inf
        best = best_columns(scores, min(k, interactions.num_items))
        missing = np.take_along_axis(scores, best, axis=1) == -np.inf
        lists[start : start + rows, : best.shape[1]] = np.where(missing, _NO_ITEM, best)
    return lists


def coverage(lists: Lists, *, num_items: int) -> float:
    """The share of the catalogue that is in at least one list."""
    return len(np.unique(lists[lists != _NO_ITEM])) / num_items


def novelty(lists: Lists, training_counts: npt.NDArray[np.int64]) -> Values:
    """float64 [U]: mean of -log2 of the popularity share of a list's items, in bits; NaN for an empty list.

    The share is (training actions on the item + 1) / (all training actions + items), so that an item without
    actions has one too. Higher is less popular, which is no merit by itself.
    """
    shares = (training_counts + 1) / (training_counts.sum() + len(training_counts))
    return _mean(lists, -np.log2(shares)[lists])


def diversity(lists: Lists, features: Features) -> Values:
    """float64 [U]: mean of 1 - cosine over the pairs of a list's items, in [0, 2]; NaN with fewer than two items.

    Args:
        lists: from `best_items`.
        features: float32 [N, D] of N item rows; called once, with every item of a list.
    """
    items, position = np.unique(lists[lists != _NO_ITEM], return_inverse=True)
    known = features(items)
    units = known / np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-12)
    counts = np.count_nonzero(lists != _NO_ITEM, axis=1)
    ends = np.cumsum(counts)
    pairs = np.maximum(counts * (counts - 1.0), 1.0)
    # The cosines of all ordered pairs sum to ‖Σ unit vectors‖² less the squares of the vectors themselves.
    totals, own = np.zeros(len(lists)), (units.astype(np.float64) ** 2).sum(axis=1)
    for user, (end, count) in enumerate(zip(ends, counts, strict=True)):
        own_rows = position[end - count : end]
        totals[user] = (units[own_rows].sum(axis=0, dtype=np.float64) ** 2).sum() - own[own_rows].sum()
    return np.where(counts > 1, 1.0 - totals / pairs, np.nan)


def _mean(lists: Lists, values: npt.NDArray[Any]) -> Values:
    present = lists != _NO_ITEM
    counts = np.count_nonzero(present, axis=1)
    sums = np.where(present, values, 0.0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


class ItemFeatures:
    """The fixed descriptor `colour-and-edges` of a dataset's images, each image read once.

    It is the same for every model, whatever features that model itself uses, and is not centred on the catalogue, so
    that the similarity of two images does not depend on the catalogue.
    """

    def __init__(self, dataset: PreparedDataset) -> None:
        self._dataset = dataset
        self._rows: npt.NDArray[np.int64] = np.full(dataset.manifest.num_items, -1)
        self._known: Array | None = None

    def __call__(self, items: npt.NDArray[np.int32]) -> Array:
        """float32 [N, D]: descriptors of N distinct item rows."""
        from tfdvbpr.models.features import FEATURE_EXTRACTORS

        new = items[self._rows[items] < 0]
        known = [] if self._known is None else [self._known]
        if len(new):
            extract = FEATURE_EXTRACTORS["colour-and-edges"]
            found = map_chunks(lambda rows: extract(self._dataset.images.read(rows)), new, chunk_rows=_IMAGES)
            self._rows[new] = sum(map(len, known)) + np.arange(len(new))
            self._known = np.concatenate([*known, found])
        return np.zeros((0, 1), np.float32) if self._known is None else self._known[self._rows[items]]
