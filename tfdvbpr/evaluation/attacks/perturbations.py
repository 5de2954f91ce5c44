"""Perturbations of photos by the gradient of a goal. ATTACKS maps names to functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.images.decoding import to_float

Images = npt.NDArray[np.uint8]
Goal = Callable[[Any], Any]
"""From images, float32 [B, H, W, 3] in [-1, 1], to what is to be large, float32 [B]."""

_STEPS = 40
_REACH = 2.5  # all steps of PGD together could go so many times ε, as in Madry et al. 2018
_RANGE = 2.0  # of a pixel in [-1, 1]


def fgsm(images: Any, goal: Goal, epsilon: float, seed: int) -> Any:
    """One step of ε along the sign of the gradient (Goodfellow, Shlens and Szegedy 2015).

    Args:
        images: float32 [B, H, W, 3] in [-1, 1].
        goal: what is to be large.
        epsilon: the largest change of a pixel, as a share of its range.
        seed: not used; the step has no random part.

    Returns:
        float32 [B, H, W, 3] in [-1, 1].
    """
    return _clipped(images + epsilon * _RANGE * tf.sign(gradients(images, goal)))


def pgd(images: Any, goal: Goal, epsilon: float, seed: int) -> Any:
    """Projected gradient ascent (Madry et al. 2018): 40 steps of ε / 16 from a random point within ε.

    Arguments and result are those of `fgsm`; `seed` is of the random points.
    """
    radius = epsilon * _RANGE
    start = tf.random.stateless_uniform(tf.shape(images), (seed, 0), -radius, radius)
    changed = _clipped(images + start)
    for _ in tf.range(_STEPS):
        moved = changed + radius * _REACH / _STEPS * tf.sign(gradients(changed, goal))
        changed = _clipped(images + tf.clip_by_value(moved - images, -radius, radius))
    return changed


ATTACKS: Mapping[str, Callable[[Any, Goal, float, int], Any]] = MappingProxyType({"pgd": pgd, "fgsm": fgsm})


def perturbed(images_uint8: Images, goal: Goal, *, attack: str, epsilon: float, seed: int, chunk_rows: int) -> Images:
    """Photos after an attack, rounded to whole numbers as a file holds them, no pixel more than 255 ε away.

    Args:
        images_uint8: uint8 [N, H, W, 3].
        goal: what is to be large.
        attack: a name in ATTACKS.
        epsilon: the largest change of a pixel, as a share of its range, such as 4 / 255.
        seed: the same seed gives the same photos.
        chunk_rows: photos at a time.

    Returns:
        uint8 [N, H, W, 3].
    """
    function = ATTACKS[attack]

    # A while loop for PGD's steps: unrolled, their graph would take longer to build than to run.
    @tf.function(reduce_retracing=True)
    def attacked(images: Any, number: Any) -> Any:
        return function(images, goal, epsilon, number)

    most = int(np.floor(255 * epsilon + 1e-6))
    parts = []
    for start in range(0, len(images_uint8), chunk_rows):
        photos = images_uint8[start : start + chunk_rows]
        found = attacked(to_float(tf.constant(photos)), tf.constant(seed + start)).numpy()
        change = np.rint((found + 1.0) * 127.5).astype(np.int64) - photos
        parts.append((photos + change.clip(-most, most)).clip(0, 255).astype(np.uint8))
    return np.concatenate(parts)


def gradients(images: Any, goal: Goal) -> Any:
    """The gradient of the goal's sum with respect to images, float32 [B, H, W, 3]."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(goal(images))
    return tape.gradient(total, images)


def _clipped(images: Any) -> Any:
    return tf.clip_by_value(images, -1.0, 1.0)
