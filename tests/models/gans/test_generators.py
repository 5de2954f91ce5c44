from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from tfdvbpr.models.gans import GENERATORS


@pytest.fixture(scope="module")
def generator() -> Any:
    keras.utils.set_random_seed(0)
    return GENERATORS["dcgan_transposed"]((64, 64), num_categories=6, latent_dim=256, base_channels=64)


def _layers(model: Any, kind: type) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


def test_generator_is_the_authors(generator: Any) -> None:
    (dense,) = _layers(generator, keras.layers.Dense)
    assert tuple(dense.kernel.shape) == (256 + 6, 4 * 4 * 256)
    transposed = _layers(generator, keras.layers.Conv2DTranspose)
    assert [tuple(layer.output.shape[1:]) for layer in transposed] == [
        (8, 8, 256),
        (8, 8, 256),
        (16, 16, 256),
        (16, 16, 256),
        (32, 32, 128),
        (64, 64, 64),
        (64, 64, 3),
    ]
    assert {layer.kernel_size for layer in transposed} == {(3, 3)}
    assert [layer.strides[0] for layer in transposed] == [2, 1, 2, 1, 2, 2, 1]
    normalisations = _layers(generator, keras.layers.BatchNormalization)
    assert [layer.momentum for layer in normalisations] == [0.9] * 7
    assert {layer.negative_slope for layer in _layers(generator, keras.layers.LeakyReLU)} == {0.2}


def test_the_bilinear_generator_has_no_transposed_convolution() -> None:
    generator = GENERATORS["dcgan"]((48, 32), num_categories=6, latent_dim=256, base_channels=8)
    assert not _layers(generator, keras.layers.Conv2DTranspose)


def test_initial_weights(generator: Any) -> None:
    for variable in generator.trainable_variables:
        if variable.name == "kernel":
            assert float(np.std(variable.numpy())) == pytest.approx(0.02, rel=0.1), variable.path
