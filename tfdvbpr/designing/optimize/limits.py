"""Where an ascent has to stop: images more colourful, or fainter, than nearly every photo of their category."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.images.decoding import to_uint8

Floats = npt.NDArray[np.float32]


class PhotoLimits(tf.Module):
    """The limits of each category, as `tfdvbpr.data.images.ghosts.photo_limits` finds them, in graph ops.

    Args:
        most_colourful: float32 [N], of categories; infinity for no limit.
        least_visible: float32 [N]; 0 for no limit.
    """

    def __init__(self, most_colourful: Floats, least_visible: Floats) -> None:
        super().__init__()
        self.limits = tf.constant(np.stack([most_colourful, least_visible], axis=1), tf.float32)

    def within(self, images: Any, category_ids: Any) -> Any:
        """bool [R]: whether images are no ghosts; they are rounded to 8 bits first.

        Args:
            images: float32 [R, H, W, 3] in [-1, 1].
            category_ids: int32 [R].
        """
        pixels = tf.cast(to_uint8(tf.stop_gradient(images)), tf.float32)
        limits = tf.gather(self.limits, category_ids)
        return (colourfulness(pixels) <= limits[:, 0]) & (visibility(pixels) >= limits[:, 1])


def colourfulness(pixels: Any) -> Any:
    """float32 [R] in [0, 1]: `tfdvbpr.data.images.ghosts.colourfulness` of float32 [R, H, W, 3] in [0, 255]."""
    spread = tf.reduce_max(pixels, axis=3) - tf.reduce_min(pixels, axis=3)
    return tf.reduce_mean(spread, axis=(1, 2)) / 255.0


def visibility(pixels: Any) -> Any:
    """float32 [R] in [0, 1]: `tfdvbpr.data.images.ghosts.visibility` of float32 [R, H, W, 3] in [0, 255]."""
    apart = tf.abs(pixels - border_medians(pixels)[:, None, None])
    return tf.reduce_mean(tf.reduce_max(apart, axis=3), axis=(1, 2)) / 255.0


def border_medians(pixels: Any) -> Any:
    """float32 [R, 3]: the median of each image's border pixels, channel by channel, of float32 [R, H, W, 3]."""
    sides = (pixels[:, 0], pixels[:, -1], pixels[:, 1:-1, 0], pixels[:, 1:-1, -1])
    border = tf.sort(tf.concat(sides, axis=1), axis=1)
    count = border.shape[1]
    return (border[:, (count - 1) // 2] + border[:, count // 2]) / 2.0
