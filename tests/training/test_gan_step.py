"""One step of the preset `paper` against the authors' two updates, written out once more by hand."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdvbpr.config import gan_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.training.gan.checks import gan_notes
from tfdvbpr.training.gan.step import GanTrainer
from tfdvbpr.training.optimizers.schedules import AveragingAdam

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
    generator, discriminator = (keras.models.clone_model(net) for net in (trainer.generator, trainer.discriminator))
    generator.set_weights(trainer.generator.get_weights())
    discriminator.set_weights(trainer.discriminator.get_weights())
    told = trainer.replica_step(batch)

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
    np.testing.assert_allclose(told["discriminator_loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(told["generator_loss"], generator_loss, rtol=1e-4)
    for network, values in ((trainer.discriminator, after), (trainer.generator, expected)):
        for variable, value in zip(network.trainable_variables, values, strict=True):
            moved = np.abs(variable.numpy() - value) > 0.02 * RATE
            # A bias under batch normalisation moves by the sign of a rounding; kernels do not, but for a few numbers.
            assert "kernel" not in variable.name or moved.mean() < 0.01, variable.path


def test_weights_of_variety_make_drawings_differ(checkerboard_dataset: PreparedDataset) -> None:
    """In colours and in shape: with weights so large that the generator cares for nothing else."""
    weights = {"variety_weight": 1e4, "shape_variety_weight": 1e4}
    config = gan_config("plain", base_channels=4, discriminator_channels=4, learning_rate=3e-3, epochs=9, **weights)
    trainer = GanTrainer(checkerboard_dataset, config, tf.distribute.get_strategy())
    batch = {name: tf.convert_to_tensor(array) for name, array in next(trainer.batches.epoch(0))[0].items()}
    np.testing.assert_array_equal(batch["fake_ids"][::2], batch["fake_ids"][1::2])
    told = [trainer.replica_step(batch) for _ in range(8)]
    for name in ("variety", "shape_variety"):
        assert float(told[0][name]) < 0.7
        assert float(told[-1][name]) > float(told[0][name]) + 0.1


def test_the_average_forgets_its_beginning() -> None:
    """Decays by hand: 0 at the first step, 2/11 at the second, then the constant."""
    variable = keras.Variable([10.0])
    adam = AveragingAdam(1.0, use_ema=True, ema_momentum=0.2)
    adam.build([variable])
    averages = []
    expected = []
    for step in range(4):
        adam.apply([tf.constant([1.0])], [variable])
        now = float(variable.numpy()[0])
        decay = 0.0 if step == 0 else min(0.2, (1 + step) / (10 + step))
        expected.append(now if step == 0 else decay * expected[-1] + (1 - decay) * now)
        averages.append(float(adam._model_variables_moving_average[0].numpy()[0]))
    np.testing.assert_allclose(averages, expected, rtol=1e-5)
    assert AveragingAdam.from_config(adam.get_config()).get_config()["ema_momentum"] == 0.2
