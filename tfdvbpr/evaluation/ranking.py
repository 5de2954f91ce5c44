"""Exact ranking figures over the whole catalogue: AUC, recall, NDCG, reciprocal rank. METRICS lists them.

Everything follows from two counts a user: how many candidate items score higher than the held-out one, and how many
score the same. No negative is sampled. A tie counts ½ in the AUC; elsewhere it counts as a uniformly random order of
the tied items, by its expectation, so that no model gains or loses by the order of the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import COLD_THRESHOLD, Interactions, Split
from tfdvbpr.evaluation.counting import count_higher_and_equal
from tfdvbpr.models.factors import Factors

Figures = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ranks:
    """Where each held-out item stands among the user's candidates.

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
    """Ranks every held-out item of a part against all items its user has not acted on.

    Training, validation, test and withheld positives of the user are masked.

    Args:
        factors: of the model.
        interactions: of the dataset.
        split: Split.VALIDATION or Split.TEST.
    """
    user_ids, item_ids = interactions.of(split)
    acted = interactions.matrix(*Split)
    higher, equal = count_higher_and_equal(factors, user_ids, item_ids, acted)
    num_acted = np.diff(acted.indptr)[user_ids]
    return Ranks(user_ids, item_ids, higher, equal, interactions.num_items - num_acted)


def auc(ranks: Ranks) -> Figures:
    """float64 [N]: the share of candidates that score below the held-out item, ties counting ½; 0.5 without any."""
    lost = ranks.num_higher + 0.5 * ranks.num_equal
    return np.where(ranks.num_candidates > 0, 1.0 - lost / np.maximum(ranks.num_candidates, 1), 0.5)


def recall(ranks: Ranks, *, k: int) -> Figures:
    """float64 [N]: the probability that the held-out item, the only one, is among the best k; also called hit rate."""
    return _expected(ranks, np.ones(k))


def ndcg(ranks: Ranks, *, k: int) -> Figures:
    """float64 [N]: expectation of 1 / log2(1 + rank) within the best k, else 0; the ideal DCG of one item is 1."""
    return _expected(ranks, 1.0 / np.log2(np.arange(k) + 2.0))


def reciprocal_rank(ranks: Ranks) -> Figures:
    """float64 [N]: expectation of 1 / rank, with no cut-off."""
    most = int((ranks.num_higher + ranks.num_equal).max(initial=0)) + 1
    return _expected(ranks, 1.0 / np.arange(1, most + 1))


def _expected(ranks: Ranks, gains: npt.NDArray[np.float64]) -> Figures:
    """Mean gain over the places the held-out item can take: num_higher .. num_higher + num_equal, from 0."""
    sums = np.r_[0.0, np.cumsum(gains)]
    first = np.minimum(ranks.num_higher, len(gains))
    last = np.minimum(ranks.num_higher + ranks.num_equal + 1, len(gains))
    means: Figures = (sums[last] - sums[first]) / (ranks.num_equal + 1)
    return means


METRICS: Mapping[str, Callable[[Ranks], Figures]] = MappingProxyType(
    {
        "auc": auc,
        "recall@10": lambda ranks: recall(ranks, k=10),
        "ndcg@10": lambda ranks: ndcg(ranks, k=10),
        "mrr": reciprocal_rank,
    }
)


def _mean(values: Figures) -> float | None:
    return float(values.mean()) if len(values) else None


def summary(ranks: Ranks, interactions: Interactions, *, cold_threshold: int = COLD_THRESHOLD) -> dict[str, Any]:
    """Means over users, in the form of `metrics.json`.

    Args:
        ranks: from `held_out_ranks`.
        interactions: of the dataset.
        cold_threshold: a held-out item with fewer training actions is cold.

    Returns:
        `num_users`, `num_cold`, `auc` with `all` and `cold` (None where no held-out item is cold), and one mean a
        further metric.
    """
    cold = interactions.cold_items(cold_threshold)[ranks.item_ids]
    areas = METRICS["auc"](ranks)
    figures: dict[str, Any] = {
        "num_users": len(areas),
        "num_cold": int(cold.sum()),
        "auc": {"all": _mean(areas), "cold": _mean(areas[cold])},
    }
    figures.update({name: _mean(metric(ranks)) for name, metric in METRICS.items() if name != "auc"})
    return figures
