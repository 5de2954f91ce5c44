"""Precision, recall and memorisation: metrics of the nearest neighbours of generated images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.chunks import map_chunks
from tfdvbpr.data.images.similarity import nearest_members, squared_distances

NEIGHBOURHOOD = 3
NEAR_COPY = 0.01
_ROWS = 1024

Features = npt.NDArray[Any]


@dataclass(frozen=True)
class Memorisation:
    """Whether generated images are nearer to training photos than new photos are.

    Attributes:
        median_percentile: the median generated image's distance to its nearest training photo, as a percentile of the
            same distances of held-out real photos; 50 is as far as new photos are.
        near_copies: share of generated images nearer than the nearest 1 % of the held-out photos; 0.01 is what new
            photos have.
        nearest_distance: mean distance of a generated image to the nearest training photo.
        held_out_distance: the same of the held-out photos.
    """

    median_percentile: float
    near_copies: float
    nearest_distance: float
    held_out_distance: float


def precision_recall(
    real: Features, generated: Features, *, k: int = NEIGHBOURHOOD, seed: int = 0
) -> tuple[float, float]:
    """The share of generated images within the real ones' manifold, and the reverse: Kynkäänniemi et al. 2019.

    A set's manifold is the union of balls around its members that reach to their k-th nearest other member. Both shares
    depend on the sizes, so the larger set is subsampled to the size of the smaller one.

    Args:
        real: float [N, F].
        generated: float [M, F].
        k: the paper's 3.
        seed: of the subsample.

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
    return _share_within(two, one, k), _share_within(one, two, k)


def _share_within(queries: Features, members: Features, k: int) -> float:
    """The share of queries that lie in the ball of some member."""
    radii = nearest_members(members, members, k=k + 1).distances[:, k] ** 2  # the nearest is the member itself

    def within(block: Features) -> Features:
        inside = squared_distances(block, members) <= radii * (1.0 + 1e-9)
        return np.asarray(inside.any(axis=1))

    return int(map_chunks(within, queries, chunk_rows=_ROWS).sum()) / len(queries)


def memorisation(generated: Features, train: Features, held_out: Features) -> Memorisation:
    """Distances to the nearest training photo, of generated images against those of held-out photos.

    A photo that the catalogue holds twice counts on both sides, so duplicates among the photos do not look like copies.

    Args:
        generated: float [N, F].
        train: float [M, F].
        held_out: float [H, F], real and not among `train`.
    """
    made, new = (nearest_members(values, train).distances[:, 0] for values in (generated, held_out))
    new = np.sort(new)
    # In the middle of ties, so that equal distances are at the 50th percentile.
    ranks = (np.searchsorted(new, made, "left") + np.searchsorted(new, made, "right")) / 2.0
    return Memorisation(
        median_percentile=float(np.median(ranks) / len(new) * 100.0),
        near_copies=float((made < np.quantile(new, NEAR_COPY)).mean()),
        nearest_distance=float(made.mean()),
        held_out_distance=float(new.mean()),
    )
