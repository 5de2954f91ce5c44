"""Whether a difference between two recommenders is more than chance: intervals, a paired test, a correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

LEVEL = 0.95
NUM_RESAMPLES = 2000
_BLOCK_BYTES = 32 << 20

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
        direction: 1 where the ranks speak for the first, -1 where they speak for the second, else 0.
    """

    p_value: float
    direction: int


def mean_interval(
    values: Values, *, level: float = LEVEL, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of a mean over users.

    Users are drawn with replacement. The interval says how the mean would vary with other users of the same kind; it
    knows nothing of other seeds of the training. For the difference of two models pass the differences of the same
    users: then the bootstrap is a paired one.

    Args:
        values: float64 [U], one a user, no NaN.
        level: of confidence, in (0, 1).
        num_resamples: how often the users are drawn.
        seed: the same seed gives the same interval.

    Raises:
        ValueError: if there is no value.
    """
    if not len(values):
        raise ValueError("`values` must hold at least one value. Received none.")
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK_BYTES // (8 * len(values)))
    means = np.concatenate(
        [
            values[generator.integers(0, len(values), (min(rows, num_resamples - start), len(values)))].mean(axis=1)
            for start in range(0, num_resamples, rows)
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def wilcoxon(first: Values, second: Values) -> PairedTest:
    """Wilcoxon's signed-rank test of paired values, those that are equal left out.

    Exact for small samples without ties among the differences, else by the normal approximation; SciPy chooses.

    Args:
        first: float64 [U], one a user.
        second: float64 [U], of the same users.
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
