from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.models.gans.discriminator import BatchSpread, build_discriminator
from tfdvbpr.models.gans.generator import build_generator


@pytest.fixture(scope="module")
def generator() -> Any:
    keras.utils.set_random_seed(0)
    return build_generator((64, 64), num_categories=6, latent_dim=256, base_channels=64)


@pytest.fixture(scope="module")
def discriminator() -> Any:
    keras.utils.set_random_seed(1)
    return build_discriminator((64, 64), num_categories=6, base_channels=64)


def _latents(count: int) -> dict[str, Any]:
    latents = np.random.default_rng(0).standard_normal((count, 256)).astype(np.float32)
    return {"latents": tf.constant(latents), "category_ids": tf.range(count) % 6}


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


@pytest.mark.parametrize("size", [(64, 64), (48, 32)])
def test_a_bilinear_generator_has_no_transposed_convolution(size: tuple[int, int]) -> None:
    generator = build_generator(size, num_categories=6, latent_dim=256, base_channels=8, upsampling="bilinear")
    assert not _layers(generator, keras.layers.Conv2DTranspose)
    images = generator(_latents(3))
    assert tuple(images.shape) == (3, *size, 3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(generator(_latents(3), training=True) ** 2)
    gradients = tape.gradient(loss, [variable.value for variable in generator.trainable_variables])
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)


def test_discriminator_is_the_authors(discriminator: Any) -> None:
    convolutions = _layers(discriminator, keras.layers.Conv2D)
    # c joins the picture and the first two hidden maps as 6 constant maps.
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


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_initial_weights(network: str, request: pytest.FixtureRequest) -> None:
    for variable in request.getfixturevalue(network).trainable_variables:
        if variable.name == "kernel":
            assert float(np.std(variable.numpy())) == pytest.approx(0.02, rel=0.1), variable.path


def test_generated_pictures(generator: Any, discriminator: Any) -> None:
    request = _latents(3)
    images = generator(request, training=True)
    assert images.shape == (3, 64, 64, 3)
    assert images.dtype == tf.float32
    assert np.abs(images).max() <= 1.0
    assert images.numpy().std() > 0.01
    logits = discriminator({"images": images, "category_ids": request["category_ids"]}, training=False).numpy()
    assert logits.shape == (3,)


def test_both_networks_look_at_the_category(generator: Any, discriminator: Any) -> None:
    latents = tf.repeat(_latents(1)["latents"], 6, axis=0)
    categories = tf.range(6)
    images = generator({"latents": latents, "category_ids": categories}, training=False)
    assert min(np.abs(images[0] - image).max() for image in images[1:]) > 1e-7
    same = tf.repeat(images[:1], 6, axis=0)
    logits = discriminator({"images": same, "category_ids": categories}, training=False).numpy()
    assert len(np.unique(logits)) == 6


def test_gradients_reach_every_weight(generator: Any, discriminator: Any) -> None:
    request = _latents(4)
    with tf.GradientTape() as tape:
        images = generator(request, training=True)
        logits = discriminator({"images": images, "category_ids": request["category_ids"]}, training=True)
        loss = tf.reduce_sum(tf.square(logits - 1.0))
    variables = generator.trainable_variables + discriminator.trainable_variables
    for variable, gradient in zip(
        variables, tape.gradient(loss, [variable.value for variable in variables]), strict=True
    ):
        assert gradient is not None, variable.path
        assert np.abs(gradient.numpy()).max() > 0, variable.path


@pytest.mark.parametrize("size", [(64, 40), (30, 32)])
def test_sides_must_be_multiples_of_16(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        build_generator(size, num_categories=2, latent_dim=4, base_channels=4)


def test_pictures_need_not_be_square() -> None:
    generator = build_generator((32, 48), num_categories=2, latent_dim=4, base_channels=4)
    discriminator = build_discriminator((32, 48), num_categories=2, base_channels=4)
    categories = tf.constant([1])
    images = generator({"latents": tf.zeros((1, 4)), "category_ids": categories})
    assert images.shape == (1, 32, 48, 3)
    assert discriminator({"images": images, "category_ids": categories}).shape == (1,)


def _spread(images: list[float], categories: list[int], *, training: bool, layer: BatchSpread) -> Any:
    """The appended maps for grey pictures of the given brightness, with a 2x2 hidden map of zeros."""
    pictures = np.broadcast_to(np.array(images, np.float32)[:, None, None, None], (len(images), 4, 4, 3))
    hidden = np.zeros((len(images), 2, 2, 5), np.float32)
    one_hot = np.eye(2, dtype=np.float32)[categories]
    answer = layer([tf.constant(hidden), tf.constant(pictures), tf.constant(one_hot)], training=training).numpy()
    assert answer.shape == (len(images), 2, 2, 8)
    assert not answer[..., :5].any()
    return answer[..., 5:]


def test_batch_spread_by_hand() -> None:
    """Within category 0 the pictures are 1 apart from their mean, within category 1 they are the same."""
    layer = BatchSpread(momentum=0.5)
    maps = _spread([-1.0, 1.0, 0.3, 0.3], [0, 0, 1, 1], training=True, layer=layer)
    np.testing.assert_allclose(maps, np.sqrt(0.5), atol=1e-5)
    # Half of it has gone into the moving average, which inference answers with whatever the batch.
    alone = _spread([0.9], [0], training=False, layer=layer)
    np.testing.assert_allclose(alone, 0.5 * np.sqrt(0.5), atol=1e-5)


def test_a_discriminator_with_batch_spread_judges_row_by_row() -> None:
    keras.utils.set_random_seed(3)
    model = build_discriminator((32, 32), num_categories=2, base_channels=4, batch_spread=True)
    images = tf.random.stateless_uniform((4, 32, 32, 3), (1, 2), -1.0, 1.0)
    categories = tf.constant([0, 1, 0, 1])
    model({"images": images, "category_ids": categories}, training=True)
    together = model({"images": images, "category_ids": categories}, training=False).numpy()
    alone = [model({"images": images[n : n + 1], "category_ids": categories[n : n + 1]}).numpy()[0] for n in range(4)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
