"""Random augmentation of images on the device that trains: what AUGMENTATIONS lists, for recommenders and GANs alike.

The random numbers come with the batch, a few an image. So a batch is planned without reading a pixel, and each
replica augments its own images. All functions are differentiable (Zhao et al. 2020 augment what a discriminator is
given, real and generated images alike, and the generator's gradient flows back through the augmentation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.errors import ConfigError

MAX_SHIFT = 4  # pixels
_TRANSLATION, _CUTOUT = 0.125, 0.5  # of a side
_MIN_COLUMNS = 9


@dataclass(frozen=True)
class Augmentation:
    """One way to augment.

    Attributes:
        num_random_numbers: how many it needs for an image.
        apply: from images float32 [N, H, W, 3] and random numbers float [N, num_random_numbers] in [0, 1) to float32
            [N, H, W, 3].
    """

    num_random_numbers: int
    apply: Callable[[Any, Any], Any]


def flip(images: Any, random_numbers: Any) -> Any:
    """Mirrors left to right with probability ½; images of any dtype, random numbers [N, 1]."""
    import tensorflow as tf

    return tf.where(random_numbers[:, 0, None, None, None] < 0.5, images[:, :, ::-1], images)


def shift(images: Any, random_numbers: Any, *, max_shift: int = MAX_SHIFT) -> Any:
    """Shifts images of any dtype by up to `max_shift` pixels, each way and axis, and repeats the border; numbers [N,
    2].
    """
    import tensorflow as tf

    height, width = tf.shape(images)[1], tf.shape(images)[2]
    offsets = tf.cast(tf.floor(random_numbers * (2 * max_shift + 1)), tf.int32) - max_shift
    rows = tf.clip_by_value(tf.range(height)[None] + offsets[:, :1], 0, height - 1)  # [N, H]
    columns = tf.clip_by_value(tf.range(width)[None] + offsets[:, 1:], 0, width - 1)  # [N, W]
    shifted = tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
    return tf.ensure_shape(shifted, images.shape)


def colour(images: Any, random_numbers: Any) -> Any:
    """Changes brightness by ±½, saturation by 0 to 2 and contrast by ½ to 1½; may leave [-1, 1]."""
    import tensorflow as tf

    numbers = tf.cast(random_numbers, images.dtype)
    brightness, saturation, contrast = (numbers[:, number, None, None, None] for number in range(3))
    images += brightness - 0.5
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = grey + (images - grey) * 2.0 * saturation
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (images - mean) * (contrast + 0.5)


def translation(images: Any, random_numbers: Any) -> Any:
    """Shifts by up to an eighth of each side, in whole pixels, and repeats the border, as product photos end in white.

    Matrix products instead of `shift`'s gathers, whose gradient is quicker than a scatter's.
    """
    import tensorflow as tf

    def picked(numbers: Any, side: int) -> Any:
        """float32 [N, side, side]: each row picks the pixel that moves to its place."""
        most = int(side * _TRANSLATION)
        offsets = tf.cast(tf.floor(numbers * (2 * most + 1)), tf.int32) - most
        return tf.one_hot(tf.clip_by_value(tf.range(side)[None] + offsets[:, None], 0, side - 1), side)

    _, height, width, _ = images.shape
    down, right = picked(random_numbers[:, 0], height), picked(random_numbers[:, 1], width)
    return tf.einsum("bij,bjwc,bvw->bivc", down, images, right, optimize="greedy")


def cutout(images: Any, random_numbers: Any) -> Any:
    """Greys a rectangle of half of each side, whose middle is anywhere in the image."""
    import tensorflow as tf

    def inside(numbers: Any, side: int) -> Any:
        """float32 [N, side]: 1 in the hole."""
        middles = tf.cast(tf.floor(numbers * side), tf.float32)
        away = tf.abs(tf.range(side, dtype=tf.float32)[None] - middles[:, None])
        return tf.cast(away < side * _CUTOUT / 2.0, tf.float32)

    _, height, width, _ = images.shape
    rows, columns = inside(random_numbers[:, 0], height), inside(random_numbers[:, 1], width)
    return images * (1.0 - rows[:, :, None, None] * columns[:, None, :, None])


AUGMENTATIONS: Mapping[str, Augmentation] = MappingProxyType(
    {
        "flip": Augmentation(1, flip),
        "shift": Augmentation(2, shift),
        "colour": Augmentation(3, colour),
        "translation": Augmentation(2, translation),
        "cutout": Augmentation(2, cutout),
    }
)


def check_augmentation(names: Sequence[str]) -> None:
    """Refuses a name that is not in AUGMENTATIONS.

    Raises:
        ConfigError: naming the known ones.
    """
    for name in names:
        if name not in AUGMENTATIONS:
            raise ConfigError(f"`augmentation` must list any of {', '.join(AUGMENTATIONS)}. Received {name!r}.")


def num_random_numbers(names: Sequence[str]) -> int:
    """Random numbers an image for the named augmentations."""
    return sum(AUGMENTATIONS[name].num_random_numbers for name in names)


def draw_random_numbers(generator: np.random.Generator, count: int, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """float64 [count, num_random_numbers(names)] in [0, 1).

    At least 9 an image are taken from the generator, so that its further random numbers do not depend on the
    usual choices of augmentation.
    """
    needed = num_random_numbers(names)
    return generator.random((count, max(needed, _MIN_COLUMNS)))[:, :needed]


def augment(images: Any, random_numbers: Any, names: Sequence[str]) -> Any:
    """Augments images in each named way, in the order of AUGMENTATIONS.

    Args:
        images: float32 [N, H, W, 3] in [-1, 1].
        random_numbers: float32 or float64 [N, num_random_numbers(names)] in [0, 1).
        names: of AUGMENTATIONS.

    Returns:
        float32 [N, H, W, 3]; with "colour" not always within [-1, 1].
    """
    first = 0
    for name, augmentation in AUGMENTATIONS.items():
        if name in names:
            last = first + augmentation.num_random_numbers
            images = augmentation.apply(images, random_numbers[:, first:last])
            first = last
    return images
