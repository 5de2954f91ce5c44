"""How often items are recommended: ranks and hit rates over users, also of items whose photo was changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import Split
from tfdvbpr.models.recommenders.factors import Array
from tfdvbpr.run import Run

_BLOCK_BYTES = 32 << 20

Rows = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Exposure:
    """Where items stand in users' lists. A user who has acted on an item is not counted for it.

    Attributes:
        mean_rank: float64 [N], the mean over users of the rank among all items that the user has not acted on; 1 is the
            best. Items with the same score share the mean of their ranks. NaN without a user.
        hit_rate: float64 [N], the share of users in whose first k the item is.
    """

    mean_rank: npt.NDArray[np.float64]
    hit_rate: npt.NDArray[np.float64]


class ItemRanks:
    """Ranks items with given visual embeddings in the lists of a run's users.

    Args:
        run: a recommender that learns from pixels.
        items: int32 [N], rows of the items.
        users: int32 [U], rows of the users whose lists count.
        k: length of a list for the hit rate.
    """

    def __init__(self, run: Run, items: Rows, users: Rows, *, k: int = 10) -> None:
        self._factors, self._acted = run.factors, run.interactions.matrix(*Split)
        self._items, self._users, self._k = items, users, k

    def exposure(self, visual_embeddings: Array) -> Exposure:
        """The exposure of the items if Φ of their photos were the given one, float32 [N, D].

        An item's factors that are not visual, and its bias, stay. Every other item stays as it is.
        """
        changed = self._factors.item_embeddings[self._items].copy()
        changed[:, : visual_embeddings.shape[1]] = visual_embeddings
        biases = self._factors.item_biases[self._items]
        ranks, hits, counts = (np.zeros(len(self._items)) for _ in range(3))
        rows = max(1, _BLOCK_BYTES // (4 * self._factors.num_items))
        for start in range(0, len(self._users), rows):
            block = self._users[start : start + rows]
            scores = self._candidate_scores(block)
            acted = self._acted[block]
            own = self._factors.user_embeddings[block] @ changed.T + biases  # [B, N]
            for number, item in enumerate(self._items):
                score = own[:, number, None]
                higher = (scores > score).sum(axis=1) - (scores[:, item] > score[:, 0])
                equal = (scores == score).sum(axis=1) - (scores[:, item] == score[:, 0])
                rank = 1.0 + higher + equal / 2.0
                counted = np.asarray(acted[:, item].todense())[:, 0] == 0
                ranks[number] += rank[counted].sum()
                hits[number] += (rank[counted] <= self._k).sum()
                counts[number] += counted.sum()
        with np.errstate(invalid="ignore"):
            return Exposure(ranks / counts, hits / counts)

    def thresholds(self) -> tuple[Array, Array]:
        """What an item needs to be in a user's list.

        Returns:
            float32 [U], each user's k-th best score, the last where a user has fewer candidates; and float32 [U], the
            standard deviation of the user's scores.
        """
        found, deviations = [], []
        rows = max(1, _BLOCK_BYTES // (4 * self._factors.num_items))
        k = min(self._k, self._factors.num_items)
        for start in range(0, len(self._users), rows):
            block = self._users[start : start + rows]
            scores = self._candidate_scores(block)
            candidates = np.isfinite(scores)
            best = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
            lowest = np.where(candidates, scores, np.inf).min(axis=1)
            found.append(np.where(np.isfinite(best), best, np.where(np.isfinite(lowest), lowest, 0.0)))
            deviations.append(self._factors.scores(block).std(axis=1))
        return np.concatenate(found).astype(np.float32), np.maximum(np.concatenate(deviations), 1e-6).astype(np.float32)

    def _candidate_scores(self, users: Rows) -> Array:
        """float32 [B, num_items], -inf for what a user has acted on."""
        scores = self._factors.scores(users)
        acted = self._acted[users]
        scores[np.repeat(np.arange(len(users)), np.diff(acted.indptr)), acted.indices] = -np.inf
        return scores
