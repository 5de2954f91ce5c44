from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.models.backbones import BACKBONES

SIZES = {"small_cnn": (32, 32), "cnn_f": (64, 48)}


def _build(name: str, *, seed: int = 0, **options: Any) -> tuple[Any, np.ndarray[Any, np.dtype[np.float32]]]:
    keras.utils.set_random_seed(seed)
    size = SIZES.get(name, (64, 64))
    model = BACKBONES[name](size, **{"embedding_dim": 5, "dropout": 0.0, "l2": 0.0, **options})
    images = np.random.default_rng(1).uniform(-1, 1, (4, *size, 3)).astype(np.float32)
    return model, images


@pytest.mark.parametrize("name", BACKBONES)
def test_shape_and_gradients_reach_every_weight(name: str) -> None:
    model, images = _build(name)
    with tf.GradientTape() as tape:
        embeddings = model(images, training=True)
        loss = tf.reduce_sum(embeddings * tf.random.stateless_normal(embeddings.shape, [0, 1]))
    assert embeddings.shape == (4, 5)
    assert embeddings.dtype == tf.float32
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.isfinite(gradient.numpy()).all(), variable.path
        assert np.abs(gradient.numpy()).max() > 0, variable.path


@pytest.mark.parametrize("name", BACKBONES)
def test_weights_save_and_load(name: str, tmp_path: Path) -> None:
    model, images = _build(name)
    expected = model(images, training=False).numpy()
    model.save_weights(tmp_path / "x.weights.h5")
    other, _ = _build(name, seed=9)
    assert np.abs(other(images, training=False).numpy() - expected).max() > 1e-3
    other.load_weights(tmp_path / "x.weights.h5")
    np.testing.assert_allclose(other(images, training=False).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("name", BACKBONES)
def test_inference_does_not_look_at_the_neighbours(name: str) -> None:
    model, images = _build(name, dropout=0.5)
    together = model(images, training=False).numpy()
    alone = model(images[2:3], training=False).numpy()
    np.testing.assert_allclose(together[2:3], alone, atol=1e-5)


@pytest.mark.parametrize("name", BACKBONES)
def test_penalty_is_half_the_squared_weights_without_biases(name: str) -> None:
    model, images = _build(name, l2=0.01)
    model(images[:1])
    weights = [variable.numpy() for variable in model.trainable_variables if variable.name == "kernel"]
    expected = 0.5 * 0.01 * sum(float((weight.astype(np.float64) ** 2).sum()) for weight in weights)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)
    assert not _build(name)[0].losses


def test_cnn_f_is_the_papers_at_224() -> None:
    with keras.device("cpu"):
        model = BACKBONES["cnn_f"]((224, 224), embedding_dim=100, dropout=0.5, l2=0.0)
    kernels = [tuple(layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")]
    assert kernels == [
        (11, 11, 3, 64),
        (5, 5, 64, 256),
        (3, 3, 256, 256),
        (3, 3, 256, 256),
        (3, 3, 256, 256),
        (12_544, 4_096),
        (4_096, 4_096),
        (4_096, 100),
    ]
    sizes = [layer.output.shape[1:3] for layer in model.layers if "conv" in layer.name or "pool" in layer.name]
    assert [height for height, _ in sizes] == [56, 28, 28, 14, 14, 14, 14, 7]
    by_hand = sum(int(np.prod(kernel)) + kernel[-1] for kernel in kernels)
    assert model.count_params() == by_hand == 70_778_724
