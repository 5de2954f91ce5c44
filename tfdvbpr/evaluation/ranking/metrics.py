"""Ranking metrics, a value for each user. METRICS lists them; a new one is a function and its entry.

The exact ones follow from two counts a held-out item: how many candidate items score higher, and how many the same. No
negative is sampled. A tie counts ½ in the AUC; elsewhere it counts as a uniformly random order of the tied items, by
its exact expectation, so that no model gains or loses by the order of the catalogue. A user's held-out items are no
negatives of each other in the AUC, but each has its position in the ranking that the other metrics evaluate.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import COLD_THRESHOLD, Interactions, Split
from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.ranking.legacy import legacy_sampled_areas
from tfdvbpr.evaluation.ranking.ranks import Ranks, TieGroups, held_out_ranks, tie_groups
from tfdvbpr.evaluation.ranking.top_k import Features, Lists, best_items, coverage, diversity, novelty
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.registry import Registry

DEFAULT_K = 10

Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def areas(ranks: Ranks) -> Values:
    """float64 [N]: a held-out item's share of candidates that score below it, ties counting ½; 0.5 without any."""
    lost = ranks.num_higher + 0.5 * ranks.num_equal
    return np.where(ranks.num_candidates > 0, 1.0 - lost / np.maximum(ranks.num_candidates, 1), 0.5)


def auc(ranks: Ranks, *, among: Mask | None = None) -> Values:
    """float64 [U]: the mean of `areas` over a user's held-out items, users ascending.

    Args:
        ranks: of U users with a held-out item.
        among: bool [N], the held-out items that count, such as the cold ones; NaN for a user without any.
    """
    return _mean_by_user(ranks.user_ids, areas(ranks), np.ones(len(ranks.user_ids), bool) if among is None else among)


def _mean_by_user(user_ids: npt.NDArray[np.int32], values: Values, chosen: Mask) -> Values:
    """float64 [U]: each user's mean over the chosen held-out items, NaN without any."""
    _, owner = np.unique(user_ids, return_inverse=True)
    num_users = int(owner.max(initial=-1)) + 1
    counts = np.bincount(owner[chosen], minlength=num_users)
    sums = np.bincount(owner[chosen], weights=values[chosen], minlength=num_users)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def recall(ranks: Ranks, *, k: int) -> Values:
    """float64 [U]: expected share of the user's held-out items that are among the best k."""
    groups = tie_groups(ranks)
    return _by_user(groups, groups.hits * _mean_gain(groups, np.ones(k))) / groups.num_held_out


def hit_rate(ranks: Ranks, *, k: int) -> Values:
    """float64 [U]: the probability that at least one held-out item is among the best k; recall where there is one."""
    groups = tie_groups(ranks)
    open_positions = np.clip(k - groups.first, 0, groups.size)
    missed = np.ones(len(groups.owner))
    # None of m hits among the t open of g positions: (g-t)/g · (g-t-1)/(g-1) ··· of m factors.
    for number in range(int(groups.hits.max(initial=0))):
        more = groups.hits > number
        left = (groups.size - open_positions - number)[more]
        missed[more] *= np.maximum(left, 0) / (groups.size - number)[more]
    all_missed = np.ones(len(groups.users))
    np.multiply.at(all_missed, groups.owner, missed)
    return 1.0 - all_missed


def ndcg(ranks: Ranks, *, k: int) -> Values:
    """float64 [U]: expected DCG within the best k, a gain of 1 a held-out item, over that of the best ranking.

    The gain at position p is discounted by log2(1 + p); the best ranking begins with the user's held-out items.
    """
    groups = tie_groups(ranks)
    discounts = 1.0 / np.log2(np.arange(k) + 2.0)
    ideal = np.cumsum(discounts)[np.minimum(groups.num_held_out, k) - 1]
    return _by_user(groups, groups.hits * _mean_gain(groups, discounts)) / ideal


def average_precision(ranks: Ranks, *, k: int) -> Values:
    """float64 [U]: expected sum of the precision at each held-out item within the best k, over min(held-out, k).

    Its mean over users is MAP. Divided by min(held-out, k), and not by all held-out items as in trec_eval, so that
    the best ranking has 1 whatever k is.
    """
    groups = tie_groups(ranks)
    harmonic = np.r_[0.0, np.cumsum(1.0 / np.arange(1, k + 1))]
    first, last = np.minimum(groups.first, k), np.minimum(groups.first + groups.size, k)
    # At position p = first + 1 .. last, a hit with probability m/g, hits_before + 1 + (p - first - 1)·r are expected.
    beside = np.where(groups.size > 1, (groups.hits - 1) / np.maximum(groups.size - 1, 1), 0.0)
    certain = groups.hits_before + 1 - (groups.first + 1) * beside
    sums = certain * (harmonic[last] - harmonic[first]) + beside * (last - first)
    return _by_user(groups, groups.hits / groups.size * sums) / np.minimum(groups.num_held_out, k)


def reciprocal_rank(ranks: Ranks) -> Values:
    """float64 [U]: expectation of 1 / position of the user's best ranked held-out item, with no cut-off."""
    groups = tie_groups(ranks)
    best = groups.hits_before == 0
    first, size, hits = groups.first[best], groups.size[best], groups.hits[best]
    harmonic: Values = np.r_[0.0, np.cumsum(1.0 / np.arange(1, int((first + size).max(initial=0)) + 1))]
    expected: Values = (harmonic[first + size] - harmonic[first]) / size
    several = hits > 1
    kinds, number = np.unique(np.stack([first, size, hits])[:, several], axis=1, return_inverse=True)
    expected[several] = np.array([_reciprocal_of_first(*kind) for kind in kinds.T.tolist()])[number]
    return expected


def _reciprocal_of_first(first: int, size: int, hits: int) -> float:
    """Expectation of 1 / position of the first of `hits` among `size` items in random order after `first` others."""
    step = np.arange(size - hits)
    missed = np.r_[1.0, np.cumprod((size - hits - step) / (size - step))]
    here = missed * hits / (size - np.arange(size - hits + 1))
    return float((here / (first + 1 + np.arange(size - hits + 1))).sum())


def _by_user(groups: TieGroups, values: Values) -> Values:
    return np.bincount(groups.owner, weights=values, minlength=len(groups.users)).astype(np.float64)


def _mean_gain(groups: TieGroups, gains: Values) -> Values:
    """float64 [G]: mean gain over the positions of a group; gains, float64 [k], are 0 from position k on."""
    sums = np.r_[0.0, np.cumsum(gains)]
    first = np.minimum(groups.first, len(gains))
    last = np.minimum(groups.first + groups.size, len(gains))
    means: Values = (sums[last] - sums[first]) / groups.size
    return means


class Rankings:
    """What ranking metrics are computed from: the ranks of held-out items, and the lists of the best items.

    Args:
        factors: of the model.
        interactions: of the dataset.
        split: Split.VALIDATION or Split.TEST.
        cold_threshold: a held-out item with fewer training actions is cold.
        find_features: features by which the diversity of lists is measured, or None where there are none; called when
            first needed.
    """

    def __init__(
        self,
        factors: Factors,
        interactions: Interactions,
        split: Split,
        *,
        cold_threshold: int = COLD_THRESHOLD,
        find_features: Callable[[], Features | None] = lambda: None,
    ) -> None:
        self.factors, self.interactions, self.split = factors, interactions, split
        self.ranks = held_out_ranks(factors, interactions, split)
        self.cold: Mask = interactions.cold_items(cold_threshold)[self.ranks.item_ids]
        self._find_features = find_features
        self._lists: dict[int, Lists] = {}

    @cached_property
    def users(self) -> npt.NDArray[np.int32]:
        """int32 [U], rows of users with a held-out item, ascending."""
        return np.unique(self.ranks.user_ids)

    @cached_property
    def features(self) -> Features | None:
        """Features of items for the diversity of lists."""
        return self._find_features()

    def lists(self, k: int) -> Lists:
        """int32 [U, k], each user's best items; see `best_items`."""
        if k not in self._lists:
            self._lists[k] = best_items(self.factors, self.interactions, self.split, k=k)
        return self._lists[k]

    @cached_property
    def legacy_areas(self) -> Values:
        """float64 [N], of each held-out item; see `legacy_sampled_areas`."""
        return legacy_sampled_areas(self.factors, self.interactions, self.split)

    def legacy_auc(self, among: Mask) -> Values:
        """float64 [U], the mean of `legacy_areas` over a user's held-out items in `among`, bool [N]."""
        return _mean_by_user(self.ranks.user_ids, self.legacy_areas, among & ~np.isnan(self.legacy_areas))


@dataclass(frozen=True)
class RankingMetric:
    """A ranking metric: its formula and how it is shown.

    Attributes:
        compute: from rankings and k to float64 [U], users ascending, NaN where a user does not have the value; to one
            number where `per_user` is False.
        description: one line.
        title: in tables; its name when left out.
        higher_is_better: None where neither direction is better.
        per_user: whether it is a mean of values of users, which can be compared by paired tests.
        uses_lists: whether it needs the lists of the best items, which take longer than ranks.
        default: whether it is computed when no metrics are named.
        text: the number as text.
    """

    compute: Callable[[Rankings, int], Values | float]
    description: str
    title: str | None = None
    higher_is_better: bool | None = True
    per_user: bool = True
    uses_lists: bool = False
    default: bool = True
    text: Callable[[float], str] = "{:.4f}".format


def _diversity(rankings: Rankings, k: int) -> Values:
    features = rankings.features
    return np.full(len(rankings.users), np.nan) if features is None else diversity(rankings.lists(k), features)


_LEGACY = "AUC as the authors' code estimates it, from 100 sampled items"
METRICS: Registry[RankingMetric] = Registry(
    "tfdvbpr.metrics",
    {
        "auc": RankingMetric(
            lambda rankings, k: auc(rankings.ranks),
            "area under the ROC curve over all items the user has not acted on; ties count one half",
            title="AUC all",
        ),
        "auc_cold": RankingMetric(
            lambda rankings, k: auc(rankings.ranks, among=rankings.cold),
            "AUC of held-out items with fewer than 5 training actions",
            title="AUC cold",
        ),
        "auc_warm": RankingMetric(
            lambda rankings, k: auc(rankings.ranks, among=~rankings.cold),
            "AUC of the other held-out items",
            title="AUC warm",
        ),
        "recall@k": RankingMetric(
            lambda rankings, k: recall(rankings.ranks, k=k), "share of the held-out items among the best k"
        ),
        "hit_rate@k": RankingMetric(
            lambda rankings, k: hit_rate(rankings.ranks, k=k),
            "probability that a held-out item is among the best k",
        ),
        "ndcg@k": RankingMetric(
            lambda rankings, k: ndcg(rankings.ranks, k=k), "normalised discounted cumulative gain of the best k"
        ),
        "map@k": RankingMetric(
            lambda rankings, k: average_precision(rankings.ranks, k=k), "mean average precision of the best k"
        ),
        "mrr": RankingMetric(
            lambda rankings, k: reciprocal_rank(rankings.ranks),
            "mean reciprocal rank of the first held-out item",
            title="MRR",
        ),
        "novelty@k": RankingMetric(
            lambda rankings, k: novelty(rankings.lists(k), rankings.interactions.training_counts),
            "mean self-information of the best k items, in bits",
            higher_is_better=None,
            uses_lists=True,
        ),
        "diversity@k": RankingMetric(
            _diversity,
            "mean 1 - cosine of a fixed visual descriptor over pairs of the best k items",
            higher_is_better=None,
            uses_lists=True,
        ),
        "coverage@k": RankingMetric(
            lambda rankings, k: coverage(rankings.lists(k), num_items=rankings.interactions.num_items),
            "share of the catalogue that is among the best k of some user",
            higher_is_better=None,
            per_user=False,
            uses_lists=True,
        ),
        "legacy_sampled_auc": RankingMetric(
            lambda rankings, k: rankings.legacy_auc(np.ones(len(rankings.cold), bool)), _LEGACY, default=False
        ),
        "legacy_sampled_auc_cold": RankingMetric(
            lambda rankings, k: rankings.legacy_auc(rankings.cold), f"{_LEGACY}, of cold items", default=False
        ),
        "legacy_sampled_auc_warm": RankingMetric(
            lambda rankings, k: rankings.legacy_auc(~rankings.cold), f"{_LEGACY}, of warm items", default=False
        ),
    },
)


def find_metric(name: str) -> tuple[RankingMetric, int]:
    """Find "recall@10": the entry "recall@k" and 10; 0 stands for the k of a metric without one.

    Raises:
        ConfigError: if there is no such metric.
    """
    match = re.fullmatch(r"([^@]+)@([1-9]\d*)", name)
    key, k = (f"{match[1]}@k", int(match[2])) if match else (name, 0)
    if key not in METRICS or ("@k" in key and k < 1):
        known = ", ".join(known.replace("@k", f"@{DEFAULT_K}") for known in METRICS)
        raise ConfigError(
            f"A metric must be one of {known}, with any number in the place of {DEFAULT_K}. Received {name!r}."
        )
    return METRICS[key], k


def metric_names(k: int = DEFAULT_K, *, lists: bool = True) -> tuple[str, ...]:
    """The names of the default metrics with cut-off k; with or without those of lists."""
    chosen = (key for key, metric in METRICS.items() if metric.default and (lists or not metric.uses_lists))
    return tuple(key.replace("@k", f"@{k}") for key in chosen)


def metric_title(name: str) -> str:
    """A metric's heading in tables."""
    return find_metric(name)[0].title or name


def metrics_help(*, per_user: bool = False) -> str:
    """The names and descriptions of all metrics, or of those with a value for each user, a line each, for `--help`."""
    shown = {key: metric for key, metric in METRICS.items() if metric.per_user or not per_user}
    return "\n".join(f"{key.replace('@k', f'@{DEFAULT_K}')}: {metric.description}" for key, metric in shown.items())
