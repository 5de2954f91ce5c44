"""What every entry of BACKBONES must do; one model of keras.applications stands for the others, and others are slow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tfdvbpr.errors import ConfigError
from tfdvbpr.models.backbones import BACKBONES, FEATURE_NETWORKS, BackboneOptions, build_backbone

# One network of each file stands for the others of it, which are built by the same lines.
NAMES = [*(name for name in BACKBONES if name not in FEATURE_NETWORKS), "efficientnet_lite0", "MobileNetV2"]
SIZE = (64, 48)
Images = npt.NDArray[np.float32]


def _build(name: str, *, seed: int = 0, **values: Any) -> tuple[Any, Images]:
    keras.utils.set_random_seed(seed)
    model = build_backbone(name, SIZE, BackboneOptions(**{"embedding_dim": 5, "pretrained": False, **values}))
    images = np.random.default_rng(1).uniform(-1, 1, (4, *SIZE, 3)).astype(np.float32)
    return model, images


def _step(model: Any, images: Any) -> dict[str, Any]:
    """One step of gradient descent; the gradient of every weight that is trained, by its path."""
    with tf.GradientTape() as tape:
        embeddings = model(images, training=True)
        loss = tf.reduce_sum(embeddings * tf.random.stateless_normal(embeddings.shape, [0, 1]))
    assert embeddings.shape == (4, 5)
    assert embeddings.dtype == tf.float32
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        assert gradient is not None, variable.path
        variable.assign_sub(0.01 * gradient)
    return {variable.path: gradient.numpy() for variable, gradient in zip(variables, gradients, strict=True)}


@pytest.fixture(scope="module", params=NAMES)
def stepped(request: pytest.FixtureRequest) -> tuple[str, Any, Images, dict[str, Any]]:
    """A backbone after one step of training, and the gradients of that step."""
    model, images = _build(request.param, l2=0.01)
    return request.param, model, images, _step(model, images)


def test_shape_and_gradients_reach_every_weight(stepped: Any) -> None:
    for path, gradient in stepped[3].items():
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 0, path


def test_penalty_is_half_the_squared_weights_without_biases(stepped: Any) -> None:
    _, model, _, _ = stepped
    weights = [weight.numpy() for weight in model.trainable_variables if weight.name.endswith("kernel")]
    expected = 0.5 * 0.01 * sum(float((weight.astype(np.float64) ** 2).sum()) for weight in weights)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)


def test_weights_load_into_one_that_is_trained_in_part(stepped: Any, tmp_path: Path) -> None:
    name, model, images, _ = stepped
    model.save_weights(tmp_path / "x.weights.h5")
    other, _ = _build(name, seed=9, trainable="last:2")
    kernels = [weight.path for weight in other.weights if weight.name.endswith("kernel")]
    trained = [weight.path for weight in other.trainable_weights if weight.name.endswith("kernel")]
    assert trained == kernels[-3:]
    assert not other.losses
    assert not np.array_equal(other.weights[0], model.weights[0])
    other.load_weights(tmp_path / "x.weights.h5")
    expected = model(images, training=False).numpy()
    np.testing.assert_allclose(other(images, training=False).numpy(), expected, atol=1e-6)
    alone = model(images[2:3], training=False).numpy()
    np.testing.assert_allclose(alone, expected[2:3], atol=1e-5)  # inference does not look at the neighbours
    for weight, loaded in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(weight, loaded)


@pytest.mark.parametrize("name", NAMES)
def test_frozen_means_unchanged(name: str) -> None:
    """Batch statistics too; the last layer is trained all the same."""
    model, images = _build(name, trainable="none", dropout=0.5, l2=0.01)
    head = model.head.layers if hasattr(model, "head") else model.layers[-2:]
    in_head = {id(weight) for layer in head for weight in layer.weights}
    below = [weight for weight in model.weights if id(weight) not in in_head and "seed" not in weight.path]
    before = [weight.numpy() for weight in below]
    _step(model, images)
    assert below
    for weight, old in zip(below, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), old)
    assert [weight.name for weight in model.trainable_weights] == ["kernel", "bias"]
    kernel = model.trainable_weights[0].numpy()
    assert float(sum(model.losses)) == pytest.approx(0.005 * float((kernel**2).sum()), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "values", "match"),
    [
        ("efficientnet_lite0", {}, "at least 32x32. Received 16x24"),
        ("MobileNetV2", {}, "MobileNetV2 must be given images of a size it takes. Received 16x24: .*32x32"),
        ("resnet50", {}, "`backbone` must be one of small_cnn.*Received 'resnet50'. Nearest: "),
        ("small_cnn", {"trainable": "last:0"}, "`backbone_trainable` must be all, none or last:N"),
    ],
)
def test_what_cannot_be_built_is_said(name: str, values: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        build_backbone(name, (16, 24), BackboneOptions(**{"embedding_dim": 2, "pretrained": False, **values}))


def test_more_last_layers_than_there_are_is_all_of_them() -> None:
    model, _ = _build("small_cnn", trainable="last:999")
    assert len(model.trainable_weights) == len(_build("small_cnn")[0].trainable_weights)


def test_a_frozen_network_takes_features_in_the_place_of_images() -> None:
    model, images = _build("efficientnet_lite0", trainable="none")
    features = model.network(images)
    assert model.is_frozen
    assert features.shape == (4, 1280)
    np.testing.assert_allclose(model(features).numpy(), model(images).numpy(), atol=1e-5)
    model.network.layers[-3].trainable = True
    assert not model.is_frozen


@pytest.mark.parametrize("trainable", ["all", "none"])
def test_a_hidden_layer_between_network_and_embedding(trainable: str) -> None:
    model, images = _build("efficientnet_lite0", head_units=7, trainable=trainable)
    shapes = [tuple(weight.shape) for weight in model.head.trainable_weights if weight.name.endswith("kernel")]
    assert shapes == [(1280, 7), (7, 5)]
    moved = _step(model, images)
    assert all(np.abs(gradient).max() > 0 for path, gradient in moved.items() if path.startswith("dense"))
