"""Exact ranking figures over the whole catalogue, one a user: AUC, recall, NDCG and more. METRICS lists them.

Everything follows from two counts a held-out item: how many candidate items score higher, and how many score the same.
No negative is sampled. A tie counts ½ in the AUC; elsewhere it counts as a uniformly random order of the tied items, by
its exact expectation, so that no model gains or loses by the order of the catalogue. Where a user has several held-out
items, they are no negatives of each other in the AUC, but each takes its place in the ranking that the other figures
look at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.evaluation.ranking.counting import count_higher_and_equal
from tfdvbpr.evaluation.ranking.ties import TieGroups, tie_groups
from tfdvbpr.models.recommenders.factors import Factors

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


def areas(ranks: Ranks) -> Figures:
    """float64 [N]: a held-out item's share of candidates that score below it, ties counting ½; 0.5 without any."""
    lost = ranks.num_higher + 0.5 * ranks.num_equal
    return np.where(ranks.num_candidates > 0, 1.0 - lost / np.maximum(ranks.num_candidates, 1), 0.5)


def auc(ranks: Ranks, *, among: npt.NDArray[np.bool_] | None = None) -> Figures:
    """float64 [U]: the mean of `areas` over a user's held-out items, users ascending.

    Args:
        ranks: of U users with a held-out item.
        among: bool [N], the held-out items that count, such as the cold ones; a user without any gets NaN.
    """
    _, owner = np.unique(ranks.user_ids, return_inverse=True)
    num_users = int(owner.max(initial=-1)) + 1
    chosen = np.ones(len(owner), bool) if among is None else among
    counts = np.bincount(owner[chosen], minlength=num_users)
    sums = np.bincount(owner[chosen], weights=areas(ranks)[chosen], minlength=num_users)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def recall(ranks: Ranks, *, k: int) -> Figures:
    """float64 [U]: expected share of the user's held-out items that are among the best k."""
    groups = tie_groups(ranks)
    return _by_user(groups, groups.hits * _mean_gain(groups, np.ones(k))) / groups.num_held_out


def hit_rate(ranks: Ranks, *, k: int) -> Figures:
    """float64 [U]: the probability that at least one held-out item is among the best k; recall where there is one."""
    groups = tie_groups(ranks)
    open_places = np.clip(k - groups.first, 0, groups.size)
    missed = np.ones(len(groups.owner))
    # None of m hits among the t open of g places: (g-t)/g · (g-t-1)/(g-1) ··· of m factors.
    for drawn in range(int(groups.hits.max(initial=0))):
        still = groups.hits > drawn
        left = (groups.size - open_places - drawn)[still]
        missed[still] *= np.maximum(left, 0) / (groups.size - drawn)[still]
    all_missed = np.ones(len(groups.users))
    np.multiply.at(all_missed, groups.owner, missed)
    return 1.0 - all_missed


def ndcg(ranks: Ranks, *, k: int) -> Figures:
    """float64 [U]: expected DCG within the best k, a gain of 1 a held-out item, over that of the best ranking.

    The gain at place p is discounted by log2(1 + p); the best ranking begins with the user's held-out items.
    """
    groups = tie_groups(ranks)
    discounts = 1.0 / np.log2(np.arange(k) + 2.0)
    ideal = np.cumsum(discounts)[np.minimum(groups.num_held_out, k) - 1]
    return _by_user(groups, groups.hits * _mean_gain(groups, discounts)) / ideal


def average_precision(ranks: Ranks, *, k: int) -> Figures:
    """float64 [U]: expected sum of the precision at each held-out item within the best k, over min(held-out, k).

    Its mean over users is MAP. Divided by min(held-out, k), and not by all held-out items as trec_eval has it, so that
    the best ranking has 1 whatever k is.
    """
    groups = tie_groups(ranks)
    harmonic = np.r_[0.0, np.cumsum(1.0 / np.arange(1, k + 1))]
    first, last = np.minimum(groups.first, k), np.minimum(groups.first + groups.size, k)
    # At place p = first + 1 .. last, a hit with probability m/g, are expected hits_before + 1 + (p - first - 1)·r hits.
    beside = np.where(groups.size > 1, (groups.hits - 1) / np.maximum(groups.size - 1, 1), 0.0)
    certain = groups.hits_before + 1 - (groups.first + 1) * beside
    sums = certain * (harmonic[last] - harmonic[first]) + beside * (last - first)
    return _by_user(groups, groups.hits / groups.size * sums) / np.minimum(groups.num_held_out, k)


def reciprocal_rank(ranks: Ranks) -> Figures:
    """float64 [U]: expectation of 1 / place of the user's best placed held-out item, with no cut-off."""
    groups = tie_groups(ranks)
    best = groups.hits_before == 0
    first, size, hits = groups.first[best], groups.size[best], groups.hits[best]
    harmonic: Figures = np.r_[0.0, np.cumsum(1.0 / np.arange(1, int((first + size).max(initial=0)) + 1))]
    expected: Figures = (harmonic[first + size] - harmonic[first]) / size
    several = hits > 1
    kinds, number = np.unique(np.stack([first, size, hits])[:, several], axis=1, return_inverse=True)
    expected[several] = np.array([_reciprocal_of_first(*kind) for kind in kinds.T.tolist()])[number]
    return expected


def _reciprocal_of_first(first: int, size: int, hits: int) -> float:
    """Expectation of 1 / place of the first of `hits` among `size` places in random order that begin after `first`."""
    step = np.arange(size - hits)
    missed = np.r_[1.0, np.cumprod((size - hits - step) / (size - step))]
    here = missed * hits / (size - np.arange(size - hits + 1))
    return float((here / (first + 1 + np.arange(size - hits + 1))).sum())


def _by_user(groups: TieGroups, values: Figures) -> Figures:
    return np.bincount(groups.owner, weights=values, minlength=len(groups.users)).astype(np.float64)


def _mean_gain(groups: TieGroups, gains: Figures) -> Figures:
    """float64 [G]: mean gain over the places of a group; gains, float64 [k], are 0 from place k on."""
    sums = np.r_[0.0, np.cumsum(gains)]
    first = np.minimum(groups.first, len(gains))
    last = np.minimum(groups.first + groups.size, len(gains))
    means: Figures = (sums[last] - sums[first]) / groups.size
    return means


METRICS: Mapping[str, Callable[[Ranks, int], Figures]] = MappingProxyType(
    {
        "auc": lambda ranks, k: auc(ranks),
        "recall@k": lambda ranks, k: recall(ranks, k=k),
        "hit_rate@k": lambda ranks, k: hit_rate(ranks, k=k),
        "ndcg@k": lambda ranks, k: ndcg(ranks, k=k),
        "map@k": lambda ranks, k: average_precision(ranks, k=k),
        "mrr": lambda ranks, k: reciprocal_rank(ranks),
    }
)
