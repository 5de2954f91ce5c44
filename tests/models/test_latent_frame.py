from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.models.gans.latent_frame import fold_latents
from tfdvbpr.models.gans.networks import GENERATORS, GanShape


def _generator(kind: str, **values: Any) -> Any:
    keras.utils.set_random_seed(0)
    given = {"image_size": (32, 16), "num_categories": 3, "latent_dim": 5, "base_channels": 4}
    generator = GENERATORS[kind](GanShape(**{**given, "discriminator_channels": 4, **values}))
    for weight in generator.trainable_variables:  # biases too, which begin at 0
        weight.assign_add(np.random.default_rng(1).normal(0.0, 0.1, weight.shape))
    return generator


def _drawn(generator: Any, latents: Any) -> Any:
    inputs = {"latents": tf.constant(latents, tf.float32), "category_ids": tf.constant([0, 1, 2, 0], tf.int32)}
    return generator(inputs, training=False).numpy()


@pytest.mark.parametrize("kind", GENERATORS)
def test_what_was_drawn_at_the_image_of_z_is_drawn_at_z(kind: str) -> None:
    generator, random = _generator(kind), np.random.default_rng(0)
    latents, mean, factor = random.normal(size=(4, 5)), random.normal(size=5), random.normal(size=(5, 5))
    expected, others = _drawn(generator, mean + latents @ factor.T), _drawn(generator, latents)
    fold_latents(generator, mean, factor)
    np.testing.assert_allclose(_drawn(generator, latents), expected, atol=1e-4)  # float32, through eleven layers
    assert np.abs(others - expected).max() > 1e-2


@pytest.mark.parametrize("kind", GENERATORS)
def test_bounded_latents_cannot_be_moved(kind: str) -> None:
    with pytest.raises(ValueError, match="must see z as it comes"):
        fold_latents(_generator(kind, bounded=True), np.zeros(5), np.eye(5))
