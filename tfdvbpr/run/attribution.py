"""Where in a picture a score comes from: integrated gradients.

Sundararajan, Taly and Yan 2017: the attribution of a pixel is its difference to a baseline picture, times the mean
gradient on the straight way from the baseline to the picture. Summed over the pixels, attributions give the difference
of the two scores (completeness), up to the error of the sum that stands for the integral. Grad-CAM, the other way to
draw such a map, knows only the last map of a network, 4×4 cells for a 64×64 picture here, and nothing of the branches
beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from scipy import ndimage

Images = npt.NDArray[np.float32]

_CHUNK = 32
_BLUR = 0.15


def integrated_gradients(score: Callable[[Any], Any], image: Images, baseline: Images, *, steps: int) -> Images:
    """Attributions of one picture, in the units of the score.

    Args:
        score: from float32 [N, H, W, 3] in [-1, 1] to float32 [N], in inference mode.
        image: float32 [H, W, 3] in [-1, 1].
        baseline: float32 [H, W, 3], what stands for no information.
        steps: gradients taken, at the middles of as many equal parts of the way.

    Returns:
        float32 [H, W, 3]; their sum is score(image) - score(baseline), the closer the more steps.
    """
    places = (np.arange(steps, dtype=np.float32) + 0.5) / steps
    total = np.zeros(image.shape, np.float64)
    for start in range(0, steps, _CHUNK):
        along = places[start : start + _CHUNK, None, None, None]
        way = tf.constant(baseline + along * (image - baseline))
        with tf.GradientTape() as tape:
            tape.watch(way)
            scores = score(way)
        total += tape.gradient(scores, way).numpy().sum(axis=0)
    attributions: Images = ((image - baseline) * total / steps).astype(np.float32)
    return attributions


def white(image: Images) -> Images:
    """A white picture: the ground that product photos and their padding stand on, which so gets no attribution."""
    return np.ones_like(image)


def blurred(image: Images) -> Images:
    """The picture itself, blurred by 0.15 of its height: white parts can count too, shapes and textures count alone."""
    sigma = _BLUR * image.shape[0]
    smooth: Images = ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest")
    return smooth


BASELINES: Mapping[str, Callable[[Images], Images]] = MappingProxyType({"white": white, "blurred": blurred})
