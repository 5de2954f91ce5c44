"""Kernel distance of two sets of features (KID)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

NUM_SUBSETS = 100
SUBSET_SIZE = 500

Features = npt.NDArray[Any]


@dataclass(frozen=True)
class KernelDistance:
    """KID over subsets.

    Attributes:
        mean: over the subsets; the estimate, which may be a little below 0.
        std: standard deviation over the subsets: of one subset's estimate, not of the mean's.
        subset_size: members a subset.
    """

    mean: float
    std: float
    subset_size: int


def kernel_distance(
    first: Features,
    second: Features,
    *,
    num_subsets: int = NUM_SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = 0,
) -> KernelDistance:
    """Unbiased squared MMD with the kernel (xᵀy / F + 1)³, a mean over subsets: Bińkowski et al. 2018.

    Unlike the Fréchet distance it has the same expectation whatever the sizes, so that small sets compare too.

    Args:
        first: float [N, F].
        second: float [M, F].
        num_subsets: how often a subset of both is drawn; 1 is enough where the subsets are the whole sets.
        subset_size: members of each drawn without replacement; fewer where a set is smaller.
        seed: the same seed draws the same subsets.

    Raises:
        ValueError: if a set has fewer than two members or the features differ in number.
    """
    if min(len(first), len(second)) < 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            "`first` and `second` must have at least 2 members and the same features. "
            f"Received {first.shape} and {second.shape}."
        )
    size = min(subset_size, len(first), len(second))
    generator = np.random.default_rng(seed)
    found = [
        squared_mmd(
            first[generator.choice(len(first), size, replace=False)],
            second[generator.choice(len(second), size, replace=False)],
        )
        for _ in range(num_subsets)
    ]
    return KernelDistance(float(np.mean(found)), float(np.std(found)), size)


def squared_mmd(first: Features, second: Features) -> float:
    """The unbiased estimate from two whole sets, [N, F] and [M, F]: nothing meets itself (Gretton et al. 2012)."""
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    within = [_mean_off_diagonal(_kernel(values, values)) for values in (one, two)]
    return within[0] + within[1] - 2.0 * float(_kernel(one, two).mean())


def _kernel(first: Features, second: Features) -> Features:
    values: Features = (first @ second.T / first.shape[1] + 1.0) ** 3
    return values


def _mean_off_diagonal(square: Features) -> float:
    count = len(square)
    return float(square.sum() - np.trace(square)) / (count * (count - 1))
