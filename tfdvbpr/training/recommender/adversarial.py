"""Adversarial training: batches whose images are changed so that the model ranks them worst."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

Batch = Mapping[str, Any]

_RANGE = 2.0  # of a pixel in [-1, 1]


def adversarial_batch(loss: Callable[[Batch], Any], batch: Batch, epsilon: float) -> Batch:
    """One step of ε up the gradient of the loss, from what the network is given.

    Images are changed as in FGSM (Goodfellow, Shlens and Szegedy 2015): each pixel by ε of its range, along the sign of
    its gradient. The features of a frozen network are changed as in AMR (Tang et al. 2019): each item's by a vector
    along its gradient, whose length is ε of that of the features.

    Args:
        loss: of a batch, a scalar.
        batch: a shared-item batch whose `images` are float32, images [M, H, W, 3] in [-1, 1] or features [M, F].
        epsilon: above 0.

    Returns:
        The batch with other `images`, through which no gradient flows.
    """
    inputs = batch["images"]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = loss({**batch, "images": inputs})
    gradient = tape.gradient(value, inputs)
    if len(inputs.shape) == 4:
        changed = tf.clip_by_value(inputs + epsilon * _RANGE * tf.sign(gradient), -1.0, 1.0)
    else:
        changed = inputs + epsilon * tf.norm(inputs, axis=-1, keepdims=True) * tf.math.l2_normalize(gradient, axis=-1)
    return {**batch, "images": tf.stop_gradient(changed)}
