"""Precision, recall and copies: what nearest neighbours tell of a set of generated pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

NEIGHBOURHOOD = 3
_ROWS = 1024
NEAR_COPY = 0.01

Features = npt.NDArray[Any]


@dataclass(frozen=True)
class PrecisionRecall:
    """Attributes are shares in [0, 1].

    Attributes:
        precision: of the generated pictures, those within the real ones' manifold: do they look real?
        recall: of the real pictures, those within the generated ones' manifold: is everything there?
        size: members of each set that were looked at.
    """

    precision: float
    recall: float
    size: int


@dataclass(frozen=True)
class Nearest:
    """The nearest member of a set.

    Attributes:
        rows: int64 [N, k], rows of the set, nearest first.
        distances: float64 [N, k], Euclidean, of the features.
    """

    rows: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Memorisation:
    """Are generated pictures nearer to training photos than new photos are?

    Attributes:
        median_percentile: the median generated picture's distance to its nearest training photo, as a percentile of
            the same distances of held-out real photos; 50 is as far as new photos are.
        near_copies: share of generated pictures nearer than the nearest 1 % of the held-out photos; 0.01 is what
            new photos have.
        nearest_distance: mean distance to the nearest training photo.
        held_out_distance: the same of the held-out photos.
    """

    median_percentile: float
    near_copies: float
    nearest_distance: float
    held_out_distance: float


def precision_recall(real: Features, generated: Features, *, k: int = NEIGHBOURHOOD, seed: int = 0) -> PrecisionRecall:
    """Shares within each other's manifold: Kynkäänniemi et al. 2019.

    A set's manifold is the union of balls around its members that reach to their k-th nearest other member. Both
    figures depend on the sizes, so the larger set is thinned to the smaller one's.

    Args:
        real: float [N, F].
        generated: float [M, F].
        k: the paper's 3.
        seed: of the thinning.

    Raises:
        ValueError: if a set has k members or fewer.
    """
    size = min(len(real), len(generated))
    if size <= k:
        raise ValueError(f"Both sets must have more than k={k} members. Received {len(real)} and {len(generated)}.")
    generator = np.random.default_rng(seed)
    one, two = (
        np.asarray(values, np.float64)[np.sort(generator.choice(len(values), size, replace=False))]
        for values in (real, generated)
    )
    return PrecisionRecall(_within(two, one, k), _within(one, two, k), size)


def nearest(queries: Features, members: Features, *, k: int = 1) -> Nearest:
    """The k members nearest to each query, by blocks of rows.

    Args:
        queries: float [N, F].
        members: float [M, F].
        k: at most M.

    Raises:
        ValueError: if there are fewer members than k.
    """
    if not 1 <= k <= len(members):
        raise ValueError(f"`k` must be from 1 to the {len(members)} members. Received {k}.")
    rows, distances = [], []
    for start in range(0, len(queries), _ROWS):
        squares = _squared_distances(queries[start : start + _ROWS], members)
        near = np.argpartition(squares, k - 1, axis=1)[:, :k]
        # Anew from the differences: a copy is at 0, which a difference of large squares is not.
        apart = np.asarray(queries[start : start + _ROWS], np.float64)[:, None] - members[near]
        found = np.linalg.norm(apart, axis=-1)
        order = np.lexsort((near, found), axis=1)
        rows.append(np.take_along_axis(near, order, axis=1))
        distances.append(np.take_along_axis(found, order, axis=1))
    return Nearest(np.concatenate(rows), np.concatenate(distances))


def memorisation(generated: Features, train: Features, held_out: Features) -> Memorisation:
    """Distances to the nearest training photo, of generated pictures against those of held-out photos.

    A photo that the catalogue holds twice counts on both sides, so duplicates among the photos do not look like copies.

    Args:
        generated: float [N, F].
        train: float [M, F].
        held_out: float [H, F], real and not among `train`.
    """
    made, new = (nearest(values, train).distances[:, 0] for values in (generated, held_out))
    new = np.sort(new)
    # In the middle of ties, so that equal distances are at the 50th percentile.
    ranks = (np.searchsorted(new, made, "left") + np.searchsorted(new, made, "right")) / 2.0
    return Memorisation(
        median_percentile=float(np.median(ranks) / len(new) * 100.0),
        near_copies=float((made < np.quantile(new, NEAR_COPY)).mean()),
        nearest_distance=float(made.mean()),
        held_out_distance=float(new.mean()),
    )


def _within(queries: Features, members: Features, k: int) -> float:
    """The share of queries that lie in the ball of some member."""
    radii = nearest(members, members, k=k + 1).distances[:, k] ** 2  # the nearest is the member itself
    inside = 0
    for start in range(0, len(queries), _ROWS):
        squares = _squared_distances(queries[start : start + _ROWS], members)
        inside += int((squares <= radii * (1.0 + 1e-9)).any(axis=1).sum())
    return inside / len(queries)


def _squared_distances(first: Features, second: Features) -> npt.NDArray[np.float64]:
    """float64 [N, M]; in float64 because the difference of large squares is small."""
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    squares = (one**2).sum(axis=1)[:, None] + (two**2).sum(axis=1) - 2.0 * one @ two.T
    return np.maximum(squares, 0.0)
