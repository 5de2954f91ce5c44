from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdvbpr.models.gans.layers import (
    BatchSpread,
    CategoryProjection,
    ConditionalNormalization,
    SpectralConv2D,
    channel_moments,
    spectral_norm,
)


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


def test_the_gradient_of_moments_is_tensorflows() -> None:
    maps, marks = tf.random.stateless_normal((6, 3, 2, 4), (1, 2)), tf.random.stateless_normal((2, 4), (3, 4))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(maps)
        moments = channel_moments(maps)
        expected = tf.stack([tf.reduce_mean(maps, (0, 1, 2)), tf.reduce_mean(tf.square(maps), (0, 1, 2))])
    np.testing.assert_allclose(moments, expected, rtol=1e-6)
    gradient, autodiff = (tape.gradient(value, maps, output_gradients=marks) for value in (moments, expected))
    np.testing.assert_allclose(gradient, autodiff, rtol=1e-5, atol=1e-7)


def _spread(brightness: list[float], categories: list[int], *, training: bool, layer: BatchSpread) -> Any:
    """The appended maps for grey images of the given brightness, with a 2x2 hidden map of zeros."""
    images = np.broadcast_to(np.array(brightness, np.float32)[:, None, None, None], (len(brightness), 4, 4, 3))
    hidden = np.zeros((len(brightness), 2, 2, 5), np.float32)
    one_hot = np.eye(2, dtype=np.float32)[categories]
    outputs = layer([tf.constant(hidden), tf.constant(images), tf.constant(one_hot)], training=training).numpy()
    assert outputs.shape == (len(brightness), 2, 2, 8)
    assert not outputs[..., :5].any()
    return outputs[..., 5:]


def test_batch_spread_by_hand() -> None:
    """Within category 0 the images are 1 apart from their mean, within category 1 they are the same."""
    layer = BatchSpread(momentum=0.5)
    maps = _spread([-1.0, 1.0, 0.3, 0.3], [0, 0, 1, 1], training=True, layer=layer)
    np.testing.assert_allclose(maps, np.sqrt(0.5), atol=1e-5)
    # Half of it has gone into the moving average, which replaces the batch in inference.
    alone = _spread([0.9], [0], training=False, layer=layer)
    np.testing.assert_allclose(alone, 0.5 * np.sqrt(0.5), atol=1e-5)


def test_the_norm_is_the_largest_singular_value() -> None:
    kernel = np.random.default_rng(0).standard_normal((3, 3, 4, 5)).astype(np.float32)
    direction = tf.ones(5)
    for _ in range(200):
        norm, direction = spectral_norm(tf.constant(kernel), direction)
    np.testing.assert_allclose(float(norm), np.linalg.svd(kernel.reshape(-1, 5))[1][0], rtol=1e-4)


def test_the_gradient_is_that_of_the_divided_kernel() -> None:
    """d(w / σ(w)) by finite differences; the singular vectors are where the iteration ends."""
    kernel = tf.Variable(np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32))
    mark = tf.constant(np.random.default_rng(2).standard_normal((4, 3)).astype(np.float32))
    direction = tf.ones(3)
    for _ in range(100):
        _, direction = spectral_norm(kernel, direction)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(mark * kernel / spectral_norm(kernel, direction)[0])
    gradient = tape.gradient(value, kernel).numpy()

    def exact(weights: np.ndarray) -> float:
        return float((mark.numpy() * weights / np.linalg.svd(weights)[1][0]).sum())

    for index in ((0, 0), (2, 1), (3, 2)):
        step = np.zeros((4, 3))
        step[index] = 1e-4
        slope = (exact(kernel.numpy() + step) - exact(kernel.numpy() - step)) / 2e-4
        np.testing.assert_allclose(gradient[index], slope, rtol=2e-3, atol=1e-4)


def test_a_convolution_ends_with_norm_one_and_moves_in_training_alone() -> None:
    keras.utils.set_random_seed(0)
    layer = SpectralConv2D(6, 1, padding="same")
    layer.build((None, 1, 1, 6))
    before = layer.direction.numpy()
    layer(tf.eye(6)[:, None, None, :], training=False)
    np.testing.assert_array_equal(layer.direction.numpy(), before)
    for _ in range(300):
        outputs = layer(tf.eye(6)[:, None, None, :], training=True)
    np.testing.assert_allclose(np.linalg.svd(outputs.numpy()[:, 0, 0])[1][0], 1.0, rtol=1e-3)


def test_category_projection_by_hand() -> None:
    layer = CategoryProjection(2)
    layer.build([(None, 1, 1, 2), (None,)])
    layer.table.assign([[2.0, 0.0], [0.0, 1.0]])
    for _ in range(50):  # the norm of the table is 2
        logits = layer([tf.constant([[[[3.0, 4.0]]], [[[3.0, 4.0]]]]), tf.constant([0, 1])], training=True)
    np.testing.assert_allclose(logits.numpy().ravel(), [3.0, 2.0], rtol=1e-4)


def test_why_keras_spectral_normalisation_is_not_used() -> None:
    """W/σ(W) does not depend on the length of W, so its gradient is orthogonal to W. Keras's layer changes W."""
    images = tf.random.stateless_normal((2, 6, 6, 3), (5, 6))
    ours = SpectralConv2D(4, 3)
    inner = keras.layers.Conv2D(4, 3)
    theirs = keras.layers.SpectralNormalization(inner)
    for layer in (ours, theirs):
        for _ in range(100):
            layer(images, training=True)
    inner.kernel.assign(3.0 * inner.kernel)
    ours.kernel.assign(3.0 * ours.kernel)
    along, moved = {}, {}
    for name, layer, kernel in (("ours", ours, ours.kernel), ("theirs", theirs, inner.kernel)):
        before = kernel.numpy()
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(images, training=True)))
        gradient = tape.gradient(loss, kernel.value)
        along[name] = abs(float(np.vdot(gradient, before))) / np.linalg.norm(gradient) / np.linalg.norm(before)
        moved[name] = float(np.abs(kernel.numpy() - before).max())
    assert along["ours"] < 1e-3
    assert along["theirs"] > 0.1
    assert moved["ours"] == 0.0
    assert moved["theirs"] > 0.1
