"""What tailoring may keep of an item: its colours, or its cut. Distances of images, with gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfdvbpr.data.images.silhouettes import SILHOUETTE_THRESHOLD
from tfdvbpr.designing.optimize.limits import border_medians
from tfdvbpr.errors import ConfigError
from tfdvbpr.suggestions import nearest

KEPT = ("colour", "cut")

_THRESHOLD = 2.0 * SILHOUETTE_THRESHOLD / 255.0  # of pixels in [-1, 1]
_SOFTNESS = 0.03  # of the silhouette's edge, likewise
_LEVELS = 5  # of a channel, in the histogram
_SIDE = 32  # rows of the image whose colours are counted, about
_EPSILON = 1e-6


def check_kept(names: Sequence[str]) -> None:
    """Refuses a name that is not one of `KEPT`."""
    for name in names:
        if name not in KEPT:
            near = "".join(f" Nearest: {one!r}." for one in nearest(name, KEPT, count=1))
            raise ConfigError(f"`keep` must be one of {', '.join(KEPT)}. Received {name!r}.{near}")


def distances_kept(images: Any) -> Callable[[Any], Any]:
    """A function of images, float32 [R, H, W, 3], to what each has lost of `images`, row by row.

    Args:
        images: float32 [R, H, W, 3] in [-1, 1].

    Returns:
        A function to float32 [R, 2] in [0, 1], columns as in `KEPT`: `colour_distances`, and `cut_distances`.
    """
    silhouettes, histograms = soft_silhouettes(images), colour_histograms(images)

    def distances(others: Any) -> Any:
        colours = colour_distances(histograms, colour_histograms(others))
        return tf.stack([colours, cut_distances(silhouettes, soft_silhouettes(others))], axis=1)

    return distances


def soft_silhouettes(images: Any) -> Any:
    """float32 [R, H, W] in (0, 1): about 1 where a pixel differs from the background, the border's median colour.

    As `silhouettes`, but with an edge that has a gradient. The background has none.

    Args:
        images: float32 [R, H, W, 3] in [-1, 1].
    """
    background = tf.stop_gradient(border_medians(images))
    apart = tf.reduce_max(tf.abs(images - background[:, None, None]), axis=3)
    return tf.sigmoid((apart - _THRESHOLD) / _SOFTNESS)


def cut_distances(first: Any, second: Any) -> Any:
    """float32 [R]: 1 − intersection over union of soft silhouettes, float32 [R, H, W]."""
    common = tf.reduce_sum(tf.minimum(first, second), axis=(1, 2))
    either = tf.reduce_sum(tf.maximum(first, second), axis=(1, 2))
    return 1.0 - common / (either + _EPSILON)


def colour_histograms(images: Any) -> Any:
    """float32 [R, 125]: shares of the item's pixels by colour, wherever in the image they are.

    Five levels a channel, and a pixel counts for the two levels it lies between. A histogram of this kind holds an
    image's colours in HistoGAN (Afifi et al. 2021), whose kernel and colour space are others.

    Args:
        images: float32 [R, H, W, 3] in [-1, 1].
    """
    factor = max(1, images.shape[1] // _SIDE)
    small = tf.nn.avg_pool2d(images, factor, factor, "VALID") if factor > 1 else images
    weights = soft_silhouettes(small)
    pixels = tf.reshape(small, [-1, small.shape[1] * small.shape[2], 3])
    levels = tf.linspace(-1.0, 1.0, _LEVELS)
    near = tf.nn.relu(1.0 - tf.abs(pixels[..., None] - levels) * ((_LEVELS - 1) / 2.0))  # [R, P, 3, levels]
    red_green = near[:, :, 0, :, None] * near[:, :, 1, None, :]  # [R, P, levels, levels]
    own = tf.reshape(red_green, [-1, pixels.shape[1], _LEVELS**2]) * tf.reshape(weights, [-1, pixels.shape[1], 1])
    counts = tf.reshape(tf.matmul(own, near[:, :, 2], transpose_a=True), [-1, _LEVELS**3])
    return counts / (tf.reduce_sum(counts, axis=1, keepdims=True) + _EPSILON)


def colour_distances(first: Any, second: Any) -> Any:
    """float32 [R]: squared Hellinger distances of histograms, float32 [R, N]; 1 where no colour is shared."""
    roots = (tf.sqrt(histogram + _EPSILON) for histogram in (first, second))
    return 0.5 * tf.reduce_sum(tf.square(next(roots) - next(roots)), axis=1)
