from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfdvbpr.models.gans.spectral import CategoryProjection, SpectralConv2D, spectral_norm


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

    for place in ((0, 0), (2, 1), (3, 2)):
        step = np.zeros((4, 3))
        step[place] = 1e-4
        slope = (exact(kernel.numpy() + step) - exact(kernel.numpy() - step)) / 2e-4
        np.testing.assert_allclose(gradient[place], slope, rtol=2e-3, atol=1e-4)


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
