"""Changing Φ's input while the ascent looks at it, so that it cannot live on noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.designing.options import Smoothing

_SHIFT, _FLIP, _NOISE = 1, 2, 3


def smoothed(images: Any, step: Any, smoothing: Smoothing) -> Any:
    """The pictures as Φ sees them at a step: shifted, mirrored, noisy or blurred, every row alike.

    Args:
        images: float32 [R, H, W, 3] in [-1, 1].
        step: int32 [], from which everything is drawn.
        smoothing: what to do.

    Returns:
        float32 [R, H, W, 3].
    """
    _, height, width, _ = images.shape
    if smoothing.blur_stddev:
        images = _blurred(images, smoothing.blur_stddev)
    if smoothing.max_shift:
        border = smoothing.max_shift
        padded = tf.pad(images, [[0, 0], [border, border], [border, border], [0, 0]], "SYMMETRIC")
        at = tf.random.stateless_uniform([2], [step, _SHIFT], 0, 2 * border + 1, tf.int32)
        images = padded[:, at[0] : at[0] + height, at[1] : at[1] + width]
        images = tf.ensure_shape(images, (None, height, width, 3))
    if smoothing.flip:
        mirrored = tf.random.stateless_uniform([], [step, _FLIP]) < 0.5
        images = tf.where(mirrored, images[:, :, ::-1], images)
    if smoothing.noise_stddev:
        noise = tf.random.stateless_normal([1, height, width, 3], [step, _NOISE])
        images += smoothing.noise_stddev * noise
    return images


def _blurred(images: Any, stddev: float) -> Any:
    radius = max(1, math.ceil(2 * stddev))
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / stddev) ** 2)
    line /= line.sum()
    kernel = np.tile(np.outer(line, line)[:, :, None, None], (1, 1, 3, 1)).astype(np.float32)
    padded = tf.pad(images, [[0, 0], [radius, radius], [radius, radius], [0, 0]], "SYMMETRIC")
    return tf.nn.depthwise_conv2d(padded, tf.constant(kernel), [1, 1, 1, 1], "VALID")
