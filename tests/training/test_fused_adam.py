from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.training.optimizers.fused_adam import FusedAdam


def test_it_is_keras_adam() -> None:
    generator = np.random.default_rng(0)
    initial = generator.standard_normal((7, 5)).astype(np.float32)
    ours, theirs = keras.Variable(initial), keras.Variable(initial)
    fused, plain = FusedAdam(0.01, epsilon=1e-6), keras.optimizers.Adam(0.01, epsilon=1e-6)
    fused.build([ours])
    plain.build([theirs])

    @tf.function
    def step(gradient: tf.Tensor) -> None:
        fused.apply([gradient], [ours])
        plain.apply([gradient], [theirs])

    for _ in range(50):
        step(tf.constant(generator.standard_normal((7, 5)), tf.float32))
    assert np.abs(ours.numpy() - initial).max() > 0.05
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)
    for got, expected in zip(fused.variables, plain.variables, strict=True):
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-4, atol=1e-7)


def test_amsgrad_is_refused() -> None:
    with pytest.raises(ValueError, match="no kernel"):
        FusedAdam(0.1, amsgrad=True)
