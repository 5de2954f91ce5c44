"""How alike two pictures are (SSIM, MS-SSIM), and how diverse the pictures of a category."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

FILTER_SIZE = 11
# Of the five scales, finest first: Wang et al. 2003.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_PAIRS = 256

Pictures = npt.NDArray[np.uint8]


def num_scales(image_size: tuple[int, int]) -> int:
    """How many of the five scales a picture of (height, width) pixels has: at each the 11×11 window must fit.

    Five from 176 pixels on, three at 64×48.

    Raises:
        ValueError: if not even the first fits.
    """
    scales, side = 0, min(image_size)
    while side >= FILTER_SIZE and scales < len(WEIGHTS):
        scales, side = scales + 1, side // 2
    if scales == 0:
        raise ValueError(f"Pictures must be at least {FILTER_SIZE} pixels on each side. Received {image_size}.")
    return scales


def ms_ssim(first: Pictures, second: Pictures) -> npt.NDArray[np.float32]:
    """Multi-scale structural similarity of pairs: Wang, Simoncelli and Bovik 2003.

    With an 11×11 Gaussian window, σ = 1.5, the mean over the three channels, and the weights of the scales that fit
    (see `num_scales`) divided by their sum. Negative contrast-structure terms count as 0.

    Args:
        first: uint8 [N, H, W, 3].
        second: uint8 [N, H, W, 3].

    Returns:
        float32 [N], 1 for equal pictures.
    """
    weights = np.array(WEIGHTS[: num_scales(first.shape[1:3])])
    return _in_blocks(_compiled(tuple(float(weight) for weight in weights / weights.sum())), first, second)


def ssim(first: Pictures, second: Pictures) -> npt.NDArray[np.float32]:
    """Structural similarity of pairs: Wang et al. 2004, as `ms_ssim` at the finest scale alone; float32 [N]."""
    return _in_blocks(_compiled(None), first, second)


def category_diversity(
    images_uint8: Pictures, category_ids: npt.NDArray[np.integer[Any]], *, num_pairs: int = 200, seed: int = 0
) -> dict[int, float]:
    """1 − mean MS-SSIM over pairs of different pictures of one category: Odena et al. 2017; 0 is one picture only.

    Args:
        images_uint8: uint8 [N, H, W, 3].
        category_ids: int [N].
        num_pairs: a category; all pairs where there are fewer. Drawn with replacement.
        seed: the same seed draws the same pairs.

    Returns:
        By category id; categories with one picture are left out.
    """
    pairs = {
        int(category): drawn_pairs(np.flatnonzero(category_ids == category), num_pairs, seed=(seed, int(category)))
        for category in np.unique(category_ids)
    }
    pairs = {category: drawn for category, drawn in pairs.items() if len(drawn)}
    if not pairs:
        return {}
    every = np.concatenate(list(pairs.values()))
    alike = ms_ssim(images_uint8[every[:, 0]], images_uint8[every[:, 1]])
    ends = np.cumsum([len(drawn) for drawn in pairs.values()])[:-1]
    means = [float(1.0 - part.mean(dtype=np.float64)) for part in np.split(alike, ends)]
    return dict(zip(pairs, means, strict=True))


def drawn_pairs(
    rows: npt.NDArray[np.integer[Any]], num_pairs: int, *, seed: int | tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """int64 [P, 2]: pairs of different rows; every pair once where there are no more than asked for."""
    count = len(rows)
    if count * (count - 1) // 2 <= num_pairs:
        return np.array([rows[list(pair)] for pair in zip(*np.triu_indices(count, 1), strict=True)]).reshape(-1, 2)
    generator = np.random.default_rng(seed)
    first = generator.integers(0, count, num_pairs)
    second = (first + generator.integers(1, count, num_pairs)) % count
    return np.stack([rows[first], rows[second]], axis=1).astype(np.int64)


@cache
def _compiled(weights: tuple[float, ...] | None) -> Any:
    @tf.function(reduce_retracing=True, autograph=False)
    def alike(first: Any, second: Any) -> Any:
        if weights is None:
            return tf.image.ssim(first, second, 255)
        return tf.image.ssim_multiscale(first, second, 255, power_factors=weights)

    return alike


def _in_blocks(alike: Any, first: Pictures, second: Pictures) -> npt.NDArray[np.float32]:
    starts = range(0, len(first), _PAIRS)
    return np.concatenate([alike(first[start : start + _PAIRS], second[start : start + _PAIRS]) for start in starts])
