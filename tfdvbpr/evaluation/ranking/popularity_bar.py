"""Whether a recommender is better than counting actions, the bar that it has to pass to be worth its cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.evaluation.ranking.evaluate import per_user_metrics
from tfdvbpr.evaluation.ranking.metrics import Rankings
from tfdvbpr.evaluation.ranking.significance import Interval, mean_interval
from tfdvbpr.models.recommenders.closed_form import Popularity
from tfdvbpr.models.recommenders.factors import Factors

# So many scores are computed for each recommender; on a larger catalogue fewer users are evaluated, at least this many.
_MAX_SCORES, _MIN_USERS = 400_000_000, 500


@dataclass(frozen=True)
class PopularityBar:
    """One metric of a recommender and of popularity, for the same users.

    Attributes:
        value: mean over users of the recommender.
        popularity: the same of popularity.
        gain: their difference, with its 95 % bootstrap interval over users.
    """

    value: float
    popularity: float
    gain: Interval


def popularity_factors(interactions: Interactions) -> Factors:
    """Factors whose scores are the items' numbers of training actions."""
    return Popularity.closed_form(RecommenderConfig(model="popularity"), interactions, None)


def sample_users(interactions: Interactions, split: Split) -> tuple[Interactions, int]:
    """The actions with those of a split from a seeded sample of users, where all would take long.

    Returns:
        The actions, in which the others of the split count as withheld; and the number of users that the split has.
    """
    users = np.unique(interactions.of(split)[0])
    most = max(_MIN_USERS, _MAX_SCORES // max(interactions.num_items, 1))
    if len(users) <= most:
        return interactions, len(users)
    kept = np.random.default_rng(0).choice(users, most, replace=False)
    left_out = (interactions.splits == split) & ~np.isin(interactions.user_ids, kept)
    splits = np.where(left_out, np.uint8(Split.WITHHELD), interactions.splits)
    return replace(interactions, splits=splits), len(users)


def popularity_bar(factors: Factors, interactions: Interactions, split: Split, metric: str) -> PopularityBar | None:
    """Compare factors with popularity by one metric, such as "recall@10", user by user.

    Args:
        factors: of the recommender.
        interactions: of its dataset; see `sample_users` for large ones.
        split: Split.VALIDATION or Split.TEST.
        metric: a metric with a value for each user.

    Returns:
        Both means and their difference; None where no user has the value, as without a cold item.

    Example:
        >>> bar = popularity_bar(run.factors, run.interactions, Split.VALIDATION, "recall@10")  # doctest: +SKIP
        >>> bar.gain.low > 0  # whether the run is surely better  # doctest: +SKIP
    """
    sampled, _ = sample_users(interactions, split)
    ours, theirs = (
        per_user_metrics(Rankings(each, sampled, split), [metric])[metric].drop_nulls().to_numpy()
        for each in (factors, popularity_factors(sampled))
    )
    if not len(ours):
        return None
    return PopularityBar(float(ours.mean()), float(theirs.mean()), mean_interval(ours - theirs))
