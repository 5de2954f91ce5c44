"""Differentiable augmentation of what a discriminator sees, Zhao et al. 2020; one entry in AUGMENTATIONS a kind.

Real and generated pictures are changed alike, and the generator's gradient flows back through the change, so that a
small catalogue is not learnt by heart and the generator does not learn to draw the changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from tfdvbpr.errors import ConfigError

_SHIFT, _HOLE = 0.125, 0.5


def translation(images: Any, draws: Any) -> Any:
    """Shifts by up to an eighth of each side, in whole pixels; the border is repeated, for product photos end in white.

    Args:
        images: float32 [B, H, W, 3].
        draws: float32 [B, 2] in [0, 1).
    """
    _, height, width, _ = images.shape
    down, right = (_shifts(draws[:, axis], side) for axis, side in enumerate((height, width)))
    return tf.einsum("bij,bjwc,bvw->bivc", down, images, right, optimize="greedy")


def _shifts(draws: Any, side: int) -> Any:
    """float32 [B, side, side]: a row of each matrix picks the pixel that comes to its place."""
    most = int(side * _SHIFT)
    shifts = tf.cast(tf.floor(draws * (2 * most + 1)), tf.int32) - most
    places = tf.clip_by_value(tf.range(side)[None] + shifts[:, None], 0, side - 1)
    return tf.one_hot(places, side)


def cutout(images: Any, draws: Any) -> Any:
    """Greys a rectangle of half of each side, whose middle is anywhere in the picture.

    Args:
        images: float32 [B, H, W, 3].
        draws: float32 [B, 2] in [0, 1).
    """
    _, height, width, _ = images.shape
    rows, columns = (_inside(draws[:, axis], side) for axis, side in enumerate((height, width)))
    return images * (1.0 - rows[:, :, None, None] * columns[:, None, :, None])


def _inside(draws: Any, side: int) -> Any:
    """float32 [B, side]: 1 where the hole is."""
    middles = tf.floor(draws * side)
    away = tf.abs(tf.range(side, dtype=tf.float32)[None] - middles[:, None])
    return tf.cast(away < side * _HOLE / 2.0, tf.float32)


def colour(images: Any, draws: Any) -> Any:
    """Brightness by ±½, saturation by 0 to 2, contrast by ½ to 1½.

    Args:
        images: float32 [B, H, W, 3].
        draws: float32 [B, 3] in [0, 1).
    """
    brightness, saturation, contrast = (draws[:, number, None, None, None] for number in range(3))
    images += brightness - 0.5
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = grey + (images - grey) * 2.0 * saturation
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (images - mean) * (contrast + 0.5)


AUGMENTATIONS: Mapping[str, tuple[int, Callable[[Any, Any], Any]]] = MappingProxyType(
    {"colour": (3, colour), "translation": (2, translation), "cutout": (2, cutout)}
)


def check_augmentation(kinds: Sequence[str]) -> None:
    """Refuses a name that is not in AUGMENTATIONS.

    Raises:
        ConfigError: naming what may be given.
    """
    for kind in kinds:
        if kind not in AUGMENTATIONS:
            raise ConfigError(f"`augmentation` must list any of {', '.join(AUGMENTATIONS)}. Received {kind!r}.")


def num_draws(kinds: Sequence[str]) -> int:
    """Random numbers a picture."""
    return sum(AUGMENTATIONS[kind][0] for kind in kinds)


def augmented(images: Any, draws: Any, kinds: Sequence[str]) -> Any:
    """Pictures changed in every listed way, in the order of AUGMENTATIONS.

    Args:
        images: float32 [B, H, W, 3] in [-1, 1].
        draws: float32 [B, num_draws(kinds)] in [0, 1).
        kinds: names in AUGMENTATIONS.

    Returns:
        float32 [B, H, W, 3]; with colour, not always within [-1, 1].
    """
    first = 0
    for kind, (count, change) in AUGMENTATIONS.items():
        if kind in kinds:
            images = change(images, draws[:, first : first + count])
            first += count
    return images
