"""How alike images are: SSIM and MS-SSIM of pixels, Euclidean distances and nearest neighbours of features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.chunks import map_chunks

FILTER_SIZE = 11
# Of the five scales, finest first: Wang et al. 2003.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_PAIRS = 256
_ROWS = 1024

Images = npt.NDArray[np.uint8]
Features = npt.NDArray[Any]


@dataclass(frozen=True)
class NearestMembers:
    """The nearest members of a set.

    Attributes:
        rows: int64 [N, k], rows of the set, nearest first.
        distances: float64 [N, k], Euclidean, of the features.
    """

    rows: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]


def squared_distances(first: Features, second: Features) -> npt.NDArray[np.float64]:
    """float64 [N, M] of float [N, F] and [M, F]; in float64 because the difference of large squares is small."""
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    squares = (one**2).sum(axis=1)[:, None] + (two**2).sum(axis=1) - 2.0 * one @ two.T
    return np.maximum(squares, 0.0)


def nearest_members(queries: Features, members: Features, *, k: int = 1) -> NearestMembers:
    """Finds the k members nearest to each query; of equally distant ones the first.

    Args:
        queries: float [N, F].
        members: float [M, F].
        k: at most M.

    Raises:
        ValueError: if there are fewer members than k.
    """
    if not 1 <= k <= len(members):
        raise ValueError(f"`k` must be from 1 to the {len(members)} members. Received {k}.")

    def gaps(block: Features, near: npt.NDArray[np.int64]) -> Features:
        # From the differences: a copy is at 0, which a difference of large squares is not.
        return np.linalg.norm(np.asarray(block, np.float64)[:, None] - members[near], axis=-1)

    def nearest(block: Features) -> Features:
        near = np.argpartition(squared_distances(block, members), k - 1, axis=1)[:, :k]
        return np.take_along_axis(near, np.lexsort((near, gaps(block, near)), axis=1), axis=1)

    rows = map_chunks(nearest, queries, chunk_rows=_ROWS)
    return NearestMembers(rows, map_chunks(gaps, queries, rows, chunk_rows=_ROWS))


def num_scales(image_size: tuple[int, ...]) -> int:
    """Counts the scales of MS-SSIM that images of (height, width) pixels have: each must hold the 11×11 window.

    Five from 176 pixels on, three at 64×48.

    Raises:
        ValueError: if not even the first scale does.
    """
    scales, side = 0, min(image_size)
    while side >= FILTER_SIZE and scales < len(WEIGHTS):
        scales, side = scales + 1, side // 2
    if scales == 0:
        raise ValueError(f"Images must be at least {FILTER_SIZE} pixels on each side. Received {image_size}.")
    return scales


def ssim(first: Images, second: Images, *, filter_size: int = FILTER_SIZE) -> npt.NDArray[np.float32]:
    """Structural similarity of pairs of images: Wang et al. 2004.

    The window is a Gaussian of σ = 1.5; the mean goes over positions and the three channels.

    Args:
        first: uint8 [N, H, W, 3].
        second: uint8 [N, H, W, 3].
        filter_size: side of the window in pixels; the paper's 11.

    Returns:
        float32 [N], 1 for equal images.
    """
    import tensorflow as tf

    similarity: npt.NDArray[np.float32] = tf.image.ssim(
        tf.constant(first), tf.constant(second), 255, filter_size=filter_size
    ).numpy()
    return similarity


def ms_ssim(first: Images, second: Images) -> npt.NDArray[np.float32]:
    """Multi-scale structural similarity of pairs of images: Wang, Simoncelli and Bovik 2003.

    The window is that of `ssim`. The weights of the scales that fit (see `num_scales`) are divided by their sum.
    Negative contrast-structure terms count as 0.

    Args:
        first: uint8 [N, H, W, 3].
        second: uint8 [N, H, W, 3].

    Returns:
        float32 [N], 1 for equal images.
    """
    weights = np.array(WEIGHTS[: num_scales(first.shape[1:3])])
    compiled = _compiled_ms_ssim(tuple(float(weight) for weight in weights / weights.sum()))
    return map_chunks(compiled, first, second, chunk_rows=_PAIRS)


@cache
def _compiled_ms_ssim(weights: tuple[float, ...]) -> Any:
    import tensorflow as tf

    @tf.function(reduce_retracing=True, autograph=False)
    def similarity(first: Any, second: Any) -> Any:
        return tf.image.ssim_multiscale(first, second, 255, power_factors=weights)

    return similarity
