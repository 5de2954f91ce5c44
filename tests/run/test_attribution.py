from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.models.backbones import BackboneOptions, build_backbone
from tfdvbpr.run.attribution import BASELINES, integrated_gradients

GENERATOR = np.random.default_rng(0)
IMAGE = GENERATOR.uniform(-1, 1, (32, 24, 3)).astype(np.float32)


def test_a_linear_score_by_hand() -> None:
    """The gradient is the weights everywhere: each pixel gets weight times difference, in one step."""
    weights = GENERATOR.standard_normal(IMAGE.shape).astype(np.float32)
    found = integrated_gradients(
        lambda images: tf.reduce_sum(images * weights, axis=(1, 2, 3)), IMAGE, BASELINES["white"](IMAGE), steps=1
    )
    np.testing.assert_allclose(found, weights * (IMAGE - 1.0), atol=1e-5)


def test_a_square_by_hand() -> None:
    """From 0 to 3 the mean gradient of x² is 3: the attribution is 9, all of the score."""
    image = np.full((1, 1, 3), [3.0, 0.0, -2.0], np.float32)
    found = integrated_gradients(
        lambda images: tf.reduce_sum(images**2, axis=(1, 2, 3)), image, np.zeros_like(image), steps=40
    )
    np.testing.assert_allclose(found[0, 0], [9.0, 0.0, 4.0], atol=1e-4)


def test_completeness_on_a_backbone() -> None:
    """Attributions sum to the difference of the scores, with the batch normalisations in inference mode."""
    keras.utils.set_random_seed(0)
    backbone: Any = build_backbone("small_cnn", (32, 24), BackboneOptions(embedding_dim=5, dropout=0.3))
    for layer in backbone.layers:  # statistics as training would leave them: others than 0 and 1
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(GENERATOR.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(GENERATOR.uniform(0.5, 1.5, layer.moving_variance.shape))
    taste = GENERATOR.standard_normal((5, 1)).astype(np.float32)

    def score(images: Any) -> Any:
        return backbone(images, training=False) @ taste

    image = IMAGE.copy()
    image[8:, 6:18] = [-0.8, 0.5, -0.2]  # something for the blur to take away
    for baseline in BASELINES.values():
        ground = baseline(image)
        found = integrated_gradients(score, image, ground, steps=64)
        above, below = score(np.stack([image, ground])).numpy().ravel()
        assert abs(above - below) > 0.01
        assert found.sum() == pytest.approx(above - below, rel=0.02)


def test_the_half_that_decides_gets_the_heat() -> None:
    """The score is how red the left half is; the right half is as red and counts for nothing."""
    image = np.ones((16, 16, 3), np.float32)
    image[:, :, 1:] = -0.8

    def redness(images: Any) -> Any:
        half = images[:, :, :8]
        return tf.reduce_mean(tf.nn.relu(half[..., 0] - half[..., 1]), axis=(1, 2))

    found = integrated_gradients(redness, image, BASELINES["white"](image), steps=16).sum(axis=2)
    assert found[:, :8].min() > 0
    assert not found[:, 8:].any()
    assert found.sum() == pytest.approx(1.8, rel=1e-4)


def test_baselines() -> None:
    assert (BASELINES["white"](IMAGE) == 1.0).all()
    blurred = BASELINES["blurred"](IMAGE)
    assert blurred.shape == IMAGE.shape
    assert blurred.std() < 0.3 * IMAGE.std()
    np.testing.assert_allclose(blurred.mean(axis=(0, 1)), IMAGE.mean(axis=(0, 1)), atol=0.05)
