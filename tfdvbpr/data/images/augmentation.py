"""Random changes to training pictures: drawn with the batch, made on the device that trains.

What is drawn is a few numbers a picture, so that a batch can be planned without reading a pixel and every replica makes
the changes of its own pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

NUM_CHANGES = 9
_GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Augmentation:
    """How training pictures may be changed.

    Attributes:
        flip: mirror left to right with probability ½.
        max_shift: the largest shift in pixels, each way and each axis; the border is repeated where one uncovers it.
        max_crop: the largest part of a side that is cut away before the rest is enlarged to the whole, bilinearly.
        colour_jitter: brightness, contrast and saturation are each multiplied by up to 1 ± this.
    """

    flip: bool = False
    max_shift: int = 0
    max_crop: float = 0.0
    colour_jitter: float = 0.0

    @property
    def any(self) -> bool:
        """Whether a picture may be changed at all."""
        return self.flip or self.max_shift > 0 or self.max_crop > 0 or self.colour_jitter > 0

    def draw(self, generator: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
        """How each of `count` pictures is to be changed.

        Returns:
            float32 [N, 9]: 1 where mirrored; shift down and right, whole pixels; side of the part that is kept, in
            (0, 1]; where it lies, down and across, in [0, 1]; factors of brightness, contrast and saturation. Every
            number is drawn whether it is used or not, so that one option does not change what another draws.
        """
        random = generator.random((count, NUM_CHANGES))
        mirrored = (random[:, :1] < 0.5) & self.flip
        shifts = np.floor(random[:, 1:3] * (2 * self.max_shift + 1)) - self.max_shift
        side = 1.0 - self.max_crop * random[:, 3:4]
        colours = 1.0 + self.colour_jitter * (2.0 * random[:, 6:] - 1.0)
        return np.concatenate([mirrored, shifts, side, random[:, 4:6], colours], axis=1).astype(np.float32)


def augmented(images: Any, changes: Any, how: Augmentation) -> Any:
    """Pictures changed as `Augmentation.draw` drew, in graph ops.

    Args:
        images: float32 [N, H, W, 3] in [-1, 1].
        changes: float32 [N, 9].
        how: what they were drawn by.

    Returns:
        float32 [N, H, W, 3] in [-1, 1].
    """
    if how.flip or how.max_shift:
        images = _moved(images, changes)
    if how.max_crop:
        images = _cropped(images, changes)
    return _coloured(images, changes) if how.colour_jitter else images


def _moved(images: Any, changes: Any) -> Any:
    """Mirrored, then shifted; rows and columns are taken by number, those outside being the border's."""
    import tensorflow as tf

    height, width = tf.shape(images)[1], tf.shape(images)[2]
    shifts = tf.cast(changes[:, 1:3], tf.int32)
    rows = tf.clip_by_value(tf.range(height)[None] + shifts[:, :1], 0, height - 1)  # [N, H]
    columns = tf.clip_by_value(tf.range(width)[None] + shifts[:, 1:], 0, width - 1)  # [N, W]
    columns = tf.where(changes[:, :1] > 0, width - 1 - columns, columns)
    moved = tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
    return tf.ensure_shape(moved, images.shape)


def _cropped(images: Any, changes: Any) -> Any:
    import tensorflow as tf

    side = changes[:, 3:4]
    low = changes[:, 4:6] * (1.0 - side)
    boxes = tf.concat([low, low + side], axis=1)
    size = tf.shape(images)[1:3]
    cropped = tf.image.crop_and_resize(images, boxes, tf.range(tf.shape(images)[0]), size)
    return tf.ensure_shape(cropped, images.shape)


def _coloured(images: Any, changes: Any) -> Any:
    import tensorflow as tf

    brightness, contrast, saturation = tf.unstack(changes[:, 6:, None, None, None], axis=1)  # each [N, 1, 1, 1]
    light = (images + 1.0) * brightness
    grey = tf.reduce_sum(light * tf.constant(_GREY), axis=3, keepdims=True)
    mean = tf.reduce_mean(grey, axis=(1, 2), keepdims=True)
    light = mean + contrast * (grey - mean + saturation * (light - grey))
    return tf.clip_by_value(light - 1.0, -1.0, 1.0)
