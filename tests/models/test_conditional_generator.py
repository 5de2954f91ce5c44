from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.models.gans.conditional_generator import ConditionalNormalization, SteepTanh
from tfdvbpr.models.gans.networks import GENERATORS, GanShape


def _shape(**values: Any) -> GanShape:
    given = {"image_size": (32, 16), "num_categories": 3, "latent_dim": 5, "base_channels": 4}
    return GanShape(**{**given, "discriminator_channels": 4, **values})


def _inputs(latents: Any, categories: list[int]) -> dict[str, Any]:
    return {"latents": tf.constant(latents, tf.float32), "category_ids": tf.constant(categories, tf.int32)}


@pytest.fixture(scope="module")
def generator() -> Any:
    keras.utils.set_random_seed(0)
    return GENERATORS["conditional"](_shape())


def test_pictures(generator: Any) -> None:
    latents = np.random.default_rng(0).standard_normal((4, 5))
    images = generator(_inputs(latents, [0, 1, 2, 0]), training=True).numpy()
    assert images.shape == (4, 32, 16, 3)
    assert np.abs(images).max() <= 1.0
    assert np.ptp(images[0] - images[3]) > 1e-3  # another z
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(generator(_inputs(latents, [0, 1, 2, 0]), training=True) ** 2)
    for variable, gradient in zip(
        generator.trainable_variables,
        tape.gradient(loss, [variable.value for variable in generator.trainable_variables]),
        strict=True,
    ):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path


def test_it_looks_at_the_category(generator: Any) -> None:
    images = generator(_inputs(np.ones((3, 5)), [0, 1, 2]), training=False).numpy()
    assert min(np.abs(images[0] - image).max() for image in images[1:]) > 1e-4


@pytest.mark.parametrize("kind", GENERATORS)
def test_bounded_latents_are_a_tanh(kind: str) -> None:
    keras.utils.set_random_seed(1)
    free = GENERATORS[kind](_shape())
    bounded = GENERATORS[kind](_shape(bounded=True))
    bounded.set_weights(free.get_weights())
    latents = np.random.default_rng(1).standard_normal((2, 5))
    expected = free(_inputs(np.tanh(latents), [0, 2]), training=False)
    np.testing.assert_allclose(bounded(_inputs(latents, [0, 2]), training=False), expected, atol=1e-6)


@pytest.mark.parametrize("kind", GENERATORS)
def test_sides_must_be_multiples_of_16(kind: str) -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        GENERATORS[kind](_shape(image_size=(40, 32)))


def test_conditional_normalisation_is_batch_normalisation_then_gain_and_offset() -> None:
    maps = tf.random.stateless_normal((6, 3, 2, 4), (1, 2)) * 3.0 + 5.0
    style = tf.random.stateless_normal((6, 7), (3, 4))
    layer = ConditionalNormalization(momentum=0.75)
    plain = keras.layers.BatchNormalization(momentum=0.75, epsilon=1e-3, center=False, scale=False)
    outputs, expected = layer([maps, style], training=True), plain(maps, training=True)
    gains, offsets = np.split(layer.modulate(style).numpy()[:, None, None], 2, axis=-1)
    np.testing.assert_allclose(outputs, expected * (1.0 + gains) + offsets, atol=2e-4)
    np.testing.assert_allclose(layer.moving_mean, plain.moving_mean, rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, plain.moving_variance, rtol=1e-4)
    alone = layer([maps[:1], style[:1]], training=False)
    np.testing.assert_allclose(alone, (plain(maps[:1]) * (1.0 + gains[:1]) + offsets[:1]), atol=2e-4)


def test_steep_tanh_is_tanh_with_a_slope_where_it_is_flat() -> None:
    hidden = tf.constant([-30.0, -0.5, 0.0, 30.0])
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        outputs = SteepTanh(0.1)(hidden)
    np.testing.assert_array_equal(outputs, SteepTanh()(hidden))
    expected = 1.0 - np.tanh(hidden) ** 2 + 0.1
    np.testing.assert_allclose(tape.gradient(outputs, hidden), expected, rtol=1e-6)


def test_a_slope_changes_gradients_and_no_picture() -> None:
    plain, steep = (GENERATORS["conditional"](_shape(saturation_slope=slope)) for slope in (0.0, 0.1))
    steep.set_weights(plain.get_weights())
    inputs = _inputs(np.ones((2, 5)), [0, 1])
    weights = [model.get_layer("images").kernel.value for model in (plain, steep)]
    with tf.GradientTape(persistent=True) as tape:
        pictures = [model(inputs) for model in (plain, steep)]
        sums = [tf.reduce_sum(images) for images in pictures]
    np.testing.assert_array_equal(*pictures)
    without, having = (tape.gradient(total, weight).numpy() for total, weight in zip(sums, weights, strict=True))
    assert np.abs(having - without).max() > 1e-3
