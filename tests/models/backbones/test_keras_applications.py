from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from tfdvbpr.errors import ConfigError
from tfdvbpr.models.backbones import BACKBONES, BackboneOptions, build_backbone
from tfdvbpr.models.backbones.keras_applications import Preprocessing, _load_imagenet, application_names


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


def test_a_failed_download_says_what_else_there_is() -> None:
    def offline(**_: Any) -> Any:
        raise OSError("URL fetch failure on https://x: no route to host")

    with pytest.raises(ConfigError, match=r"ImageNet weights of X must be downloaded once.*efficientnet_lite0"):
        _load_imagenet("X", offline, build_backbone("small_cnn", (32, 32), BackboneOptions(embedding_dim=5)))
