"""Whether a difference between two recommenders is more than chance: intervals, paired tests, a correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

LEVEL = 0.95
NUM_RESAMPLES = 2000

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval, in the unit of the values."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedTest:
    """Wilcoxon's signed-rank test.

    Attributes:
        p_value: two-sided; 1 where the two never differ.
        direction: 1 where the ranks favour the first, -1 where they favour the second, else 0.
    """

    p_value: float
    direction: int


def resampled_means(values: Values, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0) -> Values:
    """float64 [num_resamples, M]: means over users sampled with replacement, the same users for every column.

    Differences of two columns are the paired bootstrap of their difference.

    Args:
        values: float64 [U, M], a row a user, no NaN.
        num_resamples: number of samples, each of as many users as there are.
        seed: the same seed gives the same users.

    Raises:
        ValueError: if there is no user.
    """
    if not len(values):
        raise ValueError("`values` must hold at least one user. Received none.")
    generator, num_users = np.random.default_rng(seed), len(values)
    columns = np.ascontiguousarray(values.T)
    samples = (generator.integers(0, num_users, num_users, dtype=np.int32) for _ in range(num_resamples))
    return np.array([[column[rows].sum() for column in columns] for rows in samples]) / num_users


def percentile_interval(mean: float, resampled: Values) -> Interval:
    """A mean with the 95 % interval of its resampled values, float64 [num_resamples]."""
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, float(low), float(high))


def mean_interval(values: Values, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0) -> Interval:
    """95 % percentile bootstrap interval of a mean over users.

    It says how the mean would vary with other users of the same kind, not with other seeds of the training.
    For the difference of two models pass the differences of the same users.

    Args:
        values: float64 [U], one a user, no NaN.
        num_resamples: number of samples of users.
        seed: the same seed gives the same interval.

    Raises:
        ValueError: if there is no user.
    """
    resampled = resampled_means(values[:, None], num_resamples=num_resamples, seed=seed)[:, 0]
    return percentile_interval(float(values.mean()), resampled)


def wilcoxon(first: Values, second: Values) -> PairedTest:
    """Wilcoxon's signed-rank test of paired values, float64 [U] of the same users, those that are equal left out.

    Exact for small samples without ties among the differences, else by the normal approximation; SciPy chooses.
    """
    differences = first - second
    differences = differences[differences != 0]
    if not len(differences):
        return PairedTest(1.0, 0)
    ranks = stats.rankdata(np.abs(differences))
    balance = float((np.sign(differences) * ranks).sum())
    p_value = stats.wilcoxon(differences, zero_method="wilcox", alternative="two-sided", method="auto").pvalue
    return PairedTest(float(p_value), int(np.sign(balance)))


def holm(p_values: Sequence[float]) -> Values:
    """float64 [N]: p-values adjusted for N comparisons by Holm's step-down procedure (1979), in the order given."""
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def mcnemar_p(only_first: int, only_second: int) -> float:
    """McNemar's exact test, one-sided: of the pairs that differ, more differ in favour of the first than chance gives.

    `only_first` pairs are a hit of the first alone, `only_second` the reverse; p is 1 where no pair differs.
    """
    differ = only_first + only_second
    return float(stats.binomtest(only_first, differ, 0.5, alternative="greater").pvalue) if differ else 1.0
