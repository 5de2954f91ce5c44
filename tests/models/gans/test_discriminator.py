from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from tfdvbpr.models.gans import DISCRIMINATORS


@pytest.fixture(scope="module")
def discriminator() -> Any:
    keras.utils.set_random_seed(1)
    return DISCRIMINATORS["convolutional_paper"]((64, 64), num_categories=6, base_channels=64).network


def _layers(model: Any, kind: type) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


def test_discriminator_is_the_authors(discriminator: Any) -> None:
    convolutions = _layers(discriminator, keras.layers.Conv2D)
    # c joins the image and the first two hidden maps as 6 constant maps.
    assert [tuple(layer.kernel.shape) for layer in convolutions] == [
        (5, 5, 3 + 6, 64),
        (5, 5, 64 + 6, 128),
        (5, 5, 128 + 6, 256),
        (5, 5, 256, 512),
    ]
    assert [tuple(layer.output.shape[1:]) for layer in convolutions] == [
        (32, 32, 64),
        (16, 16, 128),
        (8, 8, 256),
        (4, 4, 512),
    ]
    assert [layer.momentum for layer in _layers(discriminator, keras.layers.BatchNormalization)] == [0.9] * 3
    (dense,) = _layers(discriminator, keras.layers.Dense)
    assert tuple(dense.kernel.shape) == (4 * 4 * 512, 1)
    assert {layer.negative_slope for layer in _layers(discriminator, keras.layers.LeakyReLU)} == {0.2}


def test_initial_weights(discriminator: Any) -> None:
    for variable in discriminator.trainable_variables:
        if variable.name == "kernel":
            assert float(np.std(variable.numpy())) == pytest.approx(0.02, rel=0.1), variable.path
