from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tfdvbpr.errors import ConfigError
from tfdvbpr.models.backbones import BACKBONES, TRUNKS, BackboneOptions, TrunkAndHead, build_backbone
from tfdvbpr.models.backbones.keras_applications import Preprocessing, _load_imagenet, application_names

# One model of keras.applications stands for the others, which are built by the same lines.
SIZES = {"small_cnn": (32, 32), "cnn_f": (64, 48), "efficientnet_lite0": (48, 32), "MobileNetV2": (32, 32)}
Pictures = npt.NDArray[np.float32]


def _build(name: str, *, seed: int = 0, **values: Any) -> tuple[Any, Pictures]:
    keras.utils.set_random_seed(seed)
    size = SIZES[name]
    model = build_backbone(name, size, BackboneOptions(**{"embedding_dim": 5, "weights": "random", **values}))
    images = np.random.default_rng(1).uniform(-1, 1, (4, *size, 3)).astype(np.float32)
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


@pytest.fixture(scope="module", params=SIZES)
def stepped(request: pytest.FixtureRequest) -> tuple[str, Any, Pictures, dict[str, Any]]:
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


@pytest.mark.parametrize("name", SIZES)
def test_frozen_means_unchanged(name: str) -> None:
    """Batch statistics too; the last layer is trained all the same."""
    model, images = _build(name, trainable="none", dropout=0.5, l2=0.01)
    head = model.head.layers if isinstance(model, TrunkAndHead) else model.layers[-2:]
    in_head = {id(weight) for layer in head for weight in layer.weights}
    below = [weight for weight in model.weights if id(weight) not in in_head and "seed" not in weight.path]
    before = [weight.numpy() for weight in below]
    _step(model, images)
    assert len(below) >= 14
    for weight, old in zip(below, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), old)
    assert [weight.name for weight in model.trainable_weights] == ["kernel", "bias"]
    kernel = model.trainable_weights[0].numpy()
    assert float(sum(model.losses)) == pytest.approx(0.005 * float((kernel**2).sum()), rel=1e-4)


def test_more_last_layers_than_there_are_is_all_of_them() -> None:
    model, _ = _build("small_cnn", trainable="last:999")
    assert len(model.trainable_weights) == len(_build("small_cnn")[0].trainable_weights)


def test_a_frozen_trunk_sees_a_picture_once() -> None:
    model, images = _build("efficientnet_lite0", trainable="none")
    seen = model.trunk(images)
    assert model.trunk_is_frozen
    assert seen.shape == (4, 1280)
    np.testing.assert_allclose(model(seen).numpy(), model(images).numpy(), atol=1e-5)
    model.trunk.layers[-3].trainable = True
    assert not model.trunk_is_frozen


def test_every_keras_application_is_a_backbone() -> None:
    assert {"MobileNetV2", "MobileNetV3Small", "ResNet50", "EfficientNetB0", "ConvNeXtTiny"} <= set(BACKBONES)
    for name in application_names():
        module = getattr(keras.applications, name).__module__.rpartition(".")[2]
        assert callable(getattr(keras.applications, module).preprocess_input), name


@pytest.mark.parametrize(("module", "white"), [("mobilenet_v2", 1.0), ("resnet", 151.061), ("densenet", 2.64)])
def test_each_keras_application_has_its_own_preprocessing(module: str, white: float) -> None:
    """White in the last channel: in [-1, 1]; BGR less ImageNet's mean; in its standard deviations."""
    function = getattr(keras.applications, module).preprocess_input
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, 4, 3)).astype(np.float32)
    images[0, 0, 0] = 1.0
    own = Preprocessing(function)(images).numpy()
    np.testing.assert_allclose(own, function((images + 1.0) * 127.5), rtol=1e-4, atol=1e-3)
    assert own[0, 0, 0, 2] == pytest.approx(white, abs=1e-2) or own[0, 0, 0, 0] == pytest.approx(white, abs=1e-2)


@pytest.mark.parametrize(
    ("name", "values", "match"),
    [
        ("efficientnet_lite0", {}, "at least 32x32. Received 16x24"),
        ("MobileNetV2", {}, "MobileNetV2 must be given pictures it can see. Received 16x24: .*32x32"),
        ("resnet50", {}, "`backbone` must be one of small_cnn.*Received 'resnet50'. Nearest: "),
        ("small_cnn", {"weights": "imagenet"}, "`backbone_weights` of small_cnn must be random or auto"),
        ("cnn_f", {"weights": "imagenet"}, "`backbone_weights` of cnn_f must be random or auto"),
        ("small_cnn", {"trainable": "last:0"}, "`backbone_trainable` must be all, none or last:N"),
    ],
)
def test_what_cannot_be_built_is_said(name: str, values: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        build_backbone(name, (16, 24), BackboneOptions(**{"embedding_dim": 2, "weights": "random", **values}))


def test_a_failed_download_says_what_else_there_is() -> None:
    def offline(**_: Any) -> Any:
        raise OSError("URL fetch failure on https://x: no route to host")

    with pytest.raises(ConfigError, match=r"ImageNet weights of X must be downloaded once.*efficientnet_lite0"):
        _load_imagenet("X", offline, _build("small_cnn")[0])


def test_cnn_f_is_the_papers_at_224() -> None:
    with keras.device("cpu"):
        model = build_backbone("cnn_f", (224, 224), BackboneOptions(embedding_dim=100, dropout=0.5))
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


@pytest.mark.parametrize("trainable", ["all", "none"])
def test_a_hidden_layer_between_trunk_and_embedding(trainable: str) -> None:
    model, images = _build("efficientnet_lite0", head_units=7, trainable=trainable)
    shapes = [tuple(weight.shape) for weight in model.head.trainable_weights if weight.name.endswith("kernel")]
    assert shapes == [(1280, 7), (7, 5)]
    moved = _step(model, images)
    assert all(np.abs(gradient).max() > 0 for path, gradient in moved.items() if path.startswith("dense"))


def test_levels_are_means_and_deviations_of_every_stage_beside_the_last_map() -> None:
    size = (48, 32)
    images = np.random.default_rng(0).uniform(-1, 1, (2, *size, 3)).astype(np.float32)
    levels = TRUNKS["efficientnet_lite0_levels"](size, imagenet=False)
    last = TRUNKS["efficientnet_lite0"](size, imagenet=False)
    last.set_weights(levels.get_weights())
    seen = levels(images, training=False).numpy()
    assert seen.shape == (2, 1280 + 2 * (16 + 24 + 40 + 80 + 112 + 192 + 320) + 125 + 108)
    np.testing.assert_allclose(seen[:, :1280], last(images, training=False).numpy(), rtol=1e-5)
    names = [layer.name for layer in levels.layers]
    first = keras.Model(levels.input, levels.layers[names.index("blocks.0._bn2")].output)(images, training=False)
    np.testing.assert_allclose(seen[:, 1280:1296], first.numpy().mean(axis=(1, 2)), atol=1e-5)
    deviations = np.sqrt(first.numpy().var(axis=(1, 2)) + 1e-6)
    np.testing.assert_allclose(seen[:, 1296:1312], deviations, atol=1e-5)


def test_levels_know_the_colours() -> None:
    """White above, red below: half of the picture is each, and so are the fields."""
    images = np.ones((1, 36, 36, 3), np.float32)
    images[:, 18:, :, 1:] = -1.0
    seen = TRUNKS["efficientnet_lite0_levels"]((36, 36), imagenet=False)(images, training=False).numpy()
    shares = np.square(seen[0, -233:-108].reshape(5, 5, 5))
    assert shares[4, 4, 4] == pytest.approx(0.5, abs=1e-5)
    assert shares[4, 0, 0] == pytest.approx(0.5, abs=1e-5)
    assert shares.sum() == pytest.approx(1.0, abs=1e-3)
    fields = seen[0, -108:].reshape(6, 6, 3)
    np.testing.assert_allclose(fields[:2], 1.0, atol=0.05)
    np.testing.assert_allclose(fields[4:], np.broadcast_to([1.0, -1.0, -1.0], (2, 6, 3)), atol=0.05)
