"""How far samples are from the photos that they are pulled toward. PULLS maps names to distances of features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import tensorflow as tf

_PIXELS, _SIZES = 4.0, 3  # weight of pixels beside features; sizes in `pixel_distances`
_FINE, _CELL, _PIXEL_CELL = 8, 4, 8  # a map of so many positions a side is fine; cells of a fine map and of pixels
_SPREAD_WEIGHT, _SPREAD_FLOOR = 2.0, 1e-2


def pixel_distances(photos: Any, samples: Any) -> Any:
    """4 times the sum over three sizes, each half the one before, of mean squared differences: float32 [B].

    Args:
        photos: float32 [B, H, W, 3] in [-1, 1].
        samples: of the same shape.
    """
    total = 0.0
    for _ in range(_SIZES):
        total += tf.reduce_mean(tf.square(photos - samples), axis=(1, 2, 3))
        photos, samples = (tf.nn.avg_pool2d(images, 2, 2, "VALID") for images in (photos, samples))
    return _PIXELS * total


def position_distances(photos: Sequence[Any], samples: Sequence[Any]) -> Any:
    """The mean over feature maps of mean squared differences, and 4 · the mean of |x - y| of the pixels: float32 [B].

    Args:
        photos: features of a discriminator, float32 [B, h, w, C] each; the images themselves are the last.
        samples: the same of generated images.
    """
    *maps, (x, y) = zip(photos, samples, strict=True)
    squares = [_mean_square(a, b) for a, b in maps]
    pixels = _PIXELS * tf.reduce_mean(tf.abs(x - y), axis=(1, 2, 3))
    return pixels + tf.add_n(squares) / len(squares) if squares else pixels


def texture_distances(photos: Sequence[Any], samples: Sequence[Any]) -> Any:
    """`position_distances` in which details may be elsewhere: of fine maps, means and spreads of cells are compared.

    A stripe that is half a stripe off is as wrong by position as no stripes at all, so that the best answer to an
    unknown position is the mean of all stripes. Here a map μ, σ of 4×4 cells stands for a map of 8 positions or more a
    side, with (μ_x - μ_y)² + 2 (σ_x - σ_y)²; of the pixels count means of 4×4 and spreads of 8×8.

    Args:
        photos: features of a discriminator, float32 [B, h, w, C] each; the images themselves are the last.
        samples: the same of generated images.
    """
    *maps, (x, y) = zip(photos, samples, strict=True)
    distances = []
    for a, b in maps:
        if max(a.shape[1:3]) < _FINE:
            distances.append(_mean_square(a, b))
        else:
            spreads = _mean_square(cell_spreads(a, _CELL), cell_spreads(b, _CELL))
            distances.append(_mean_square(_cell_means(a, _CELL), _cell_means(b, _CELL)) + _SPREAD_WEIGHT * spreads)
    means = tf.abs(_cell_means(x, _CELL) - _cell_means(y, _CELL))
    spreads = tf.abs(cell_spreads(x, _PIXEL_CELL) - cell_spreads(y, _PIXEL_CELL))
    pixels = _PIXELS * (tf.reduce_mean(means, axis=(1, 2, 3)) + tf.reduce_mean(spreads, axis=(1, 2, 3)))
    return pixels + tf.add_n(distances) / len(distances) if distances else pixels


def cell_spreads(maps: Any, cell: int) -> Any:
    """√(Var + 0.01) within cells, float32 [B, h/cell, w/cell, C], of float32 [B, h, w, C]."""
    variances = _cell_means(tf.square(maps), cell) - tf.square(_cell_means(maps, cell))
    return tf.sqrt(tf.nn.relu(variances) + _SPREAD_FLOOR)


def _cell_means(maps: Any, cell: int) -> Any:
    return tf.nn.avg_pool2d(maps, cell, cell, "SAME")


def _mean_square(photos: Any, samples: Any) -> Any:
    return tf.reduce_mean(tf.square(photos - samples), axis=(1, 2, 3))


PULLS: Mapping[str, Callable[[Sequence[Any], Sequence[Any]], Any]] = MappingProxyType(
    {"positions": position_distances, "textures": texture_distances}
)
