from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.models.gans.upscaler import Upscaler


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler((16, 12), num_categories=3, base_channels=6)


def _images(count: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).uniform(-1, 1, (count, 16, 12, 3)), tf.float32)


def test_at_first_it_interpolates(upscaler: Upscaler) -> None:
    images = _images(2)
    large = upscaler({"images": images, "category_ids": tf.constant([0, 2])})
    assert large.shape == (2, 32, 24, 3)
    expected = tf.image.resize(images, (32, 24), method="bilinear")
    np.testing.assert_allclose(large, expected, atol=1e-6)


def test_an_image_depends_on_its_category_and_not_on_its_neighbours() -> None:
    upscaler = Upscaler((16, 12), num_categories=3, base_channels=6)
    random = np.random.default_rng(1)
    for weight in upscaler.trainable_variables:
        weight.assign(random.normal(0, 0.1, weight.shape))
    images = _images(3)
    together = upscaler({"images": images, "category_ids": tf.constant([0, 1, 2])})
    alone = upscaler({"images": images[1:2], "category_ids": tf.constant([1])})
    other = upscaler({"images": images[1:2], "category_ids": tf.constant([2])})
    np.testing.assert_allclose(together[1:2], alone, atol=1e-5)
    assert np.abs(other - alone).max() > 1e-3
    assert np.abs(together).max() <= 1.0
