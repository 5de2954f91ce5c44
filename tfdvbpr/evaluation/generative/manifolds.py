"""Precision, recall, density and coverage: two sets of features by balls that reach to a near neighbour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.images.similarity import nearest_members, squared_distances

NEIGHBOURHOOD = 3
DENSITY_NEIGHBOURHOOD = 5
_ROWS = 1024
_ROUNDING = 1e-9  # relative, of squared radii: a neighbour lies on its own ball

Features = npt.NDArray[Any]


@dataclass(frozen=True)
class Manifolds:
    """How two sets overlap.

    Attributes:
        precision: share of generated images that lie in some photo's ball (k = 3).
        recall: share of photos that lie in some generated image's ball (k = 3).
        density: how many photos' balls (k = 5) a generated image lies in, divided by k; a mean, 1 for two samples of
            one distribution, more where the images crowd where photos are dense.
        coverage: share of photos whose ball (k = 5) holds a generated image.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def compare_manifolds(
    real: Features,
    generated: Features,
    *,
    k: int = NEIGHBOURHOOD,
    density_k: int = DENSITY_NEIGHBOURHOOD,
    seed: int = 0,
) -> Manifolds:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    A member's ball reaches to its k-th nearest other member. One outlier among the generated images has a large ball,
    and recall counts every photo in it; coverage has no balls of generated images. For two samples of n members of one
    distribution the expectation of density is 1, and that of coverage is 1 − Π (n − i) / (2n − i) over i = 1 … k:
    0.97 for k = 5.

    All four depend on the sizes, so the larger set is subsampled to the size of the smaller one. Balls include their
    surface, unlike those of the authors' code: a copy of a photo that the catalogue holds six times is in its ball.

    Args:
        real: float [N, F].
        generated: float [M, F].
        k: of precision and recall; the paper's 3.
        density_k: of density and coverage; the paper's 5.
        seed: of the subsample.

    Raises:
        ValueError: if a set has no more members than the larger k.

    Example:
        >>> line = np.array([[0.0], [1.0], [10.0], [11.0]])
        >>> compare_manifolds(line, np.array([[0.5], [1.5], [1.6], [20.0]]), k=1, density_k=1)
        Manifolds(precision=0.75, recall=1.0, density=1.0, coverage=0.5)
    """
    size, most = min(len(real), len(generated)), max(k, density_k)
    if size <= most:
        raise ValueError(f"Both sets must have more than k={most} members. Received {len(real)} and {len(generated)}.")
    generator = np.random.default_rng(seed)
    one, two = (
        np.asarray(values, np.float64)[np.sort(generator.choice(len(values), size, replace=False))]
        for values in (real, generated)
    )
    # The nearest member is the member itself.
    near = nearest_members(one, one, k=most + 1).distances
    radii, density_radii = (near[:, number] ** 2 * (1.0 + _ROUNDING) for number in (k, density_k))
    generated_radii = nearest_members(two, two, k=k + 1).distances[:, k] ** 2 * (1.0 + _ROUNDING)
    precise, balls = 0, 0
    recalled, covered = np.zeros(size, bool), np.zeros(size, bool)
    for start in range(0, size, _ROWS):
        distances = squared_distances(two[start : start + _ROWS], one)
        precise += int((distances <= radii).any(axis=1).sum())
        recalled |= (distances <= generated_radii[start : start + _ROWS, None]).any(axis=0)
        inside = distances <= density_radii
        balls += int(inside.sum())
        covered |= inside.any(axis=0)
    return Manifolds(precise / size, float(recalled.mean()), balls / (density_k * size), float(covered.mean()))
