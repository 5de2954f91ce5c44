from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tensorflow as tf
from scipy.stats import spearmanr
from training_callbacks import PulledPlugError, pull_the_plug_before

from tfdvbpr.config import GanConfig, gan_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import OutputExistsError
from tfdvbpr.run import GanRun
from tfdvbpr.training.engine.loop import TrainingProgress
from tfdvbpr.training.gan import train as train_module
from tfdvbpr.training.gan.descriptors import PrincipalComponents, component_latents, descriptors, nearest_unlike
from tfdvbpr.training.gan.pool import LatentPool, pool_sizes
from tfdvbpr.training.gan.train import train_gan
from tfdvbpr.training.gan.trainer import GanTrainer

SMALL = {"base_channels": 4, "discriminator_channels": 4, "global_batch_size": 8, "latent_dim": 6, "pull_weight": 1.0}


def test_the_nearest_sample_that_no_photo_is_near_to_already() -> None:
    """Photos at 0, 10 and 20; samples at 1, 3, 14 and 30. Nearest distances are 1, 4 and 6; their median is 4."""
    photos, samples = (np.array(values, np.float32)[:, None] for values in ([0, 10, 20], [1, 3, 14, 30]))
    rows, distances = nearest_unlike(photos, samples, 0.0)
    np.testing.assert_array_equal(rows, [0, 2, 2])
    np.testing.assert_allclose(distances, [1, 4, 6], rtol=1e-5)
    rows, _ = nearest_unlike(photos, samples, 0.1)  # ε² = 4: the sample at 1 is rejected
    np.testing.assert_array_equal(rows, [1, 2, 2])
    rows, _ = nearest_unlike(photos[:1], samples[:1], 0.5)  # nothing would be left
    np.testing.assert_array_equal(rows, [0])


def test_many_photos_are_matched_as_few_are() -> None:
    """More photos than a block has; against all distances at once."""
    random = np.random.default_rng(2)
    photos, samples = (random.standard_normal((count, 5)).astype(np.float32) for count in (2500, 300))
    every = np.square(photos[:, None] - samples[None]).sum(axis=2)
    kept = np.flatnonzero(every.min(axis=0) > np.quantile(every.min(axis=1), 0.05))
    assert 0 < len(kept) < 300
    rows, distances = nearest_unlike(photos, samples, 0.05)
    np.testing.assert_array_equal(rows, kept[every[:, kept].argmin(axis=1)])
    np.testing.assert_allclose(distances, np.sqrt(every.min(axis=1)), rtol=1e-3, atol=1e-4)


def test_component_latents_follow_the_prior() -> None:
    random = np.random.default_rng(0)
    hidden = random.exponential(size=(400, 2)).astype(np.float32)
    photos = hidden @ np.array([[3.0, 0.0, 1.0], [0.0, 1.0, 0.0]], np.float32)
    latents = component_latents(photos, 4, random)
    assert latents.shape == (400, 4)
    np.testing.assert_allclose(latents.mean(axis=0), 0.0, atol=0.15)
    np.testing.assert_allclose(latents.std(axis=0), 1.0, atol=0.1)
    assert abs(spearmanr(latents[:, 0], hidden[:, 0]).statistic) > 0.95
    assert component_latents(photos[:1], 4, random).shape == (1, 4)


def test_components_keep_the_distances_of_scaled_descriptors() -> None:
    """Thumbnails and features count alike, whatever their units."""
    random = np.random.default_rng(1)
    parts = [random.standard_normal((60, 5)), 1000.0 * random.standard_normal((60, 7))]
    parts = [part.astype(np.float32) for part in parts]
    components = PrincipalComponents.fitted(parts).of(parts)
    scaled = np.concatenate([part / np.sqrt(part.var(axis=0).sum()) for part in parts], axis=1)
    expected = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    np.testing.assert_allclose(np.linalg.norm(components[:, None] - components[None], axis=2), expected, atol=1e-4)
    same = PrincipalComponents.fitted([np.ones((3, 4), np.float32)])
    assert np.isfinite(same.of([np.ones((2, 4), np.float32)])).all()


def test_descriptors_of_an_image() -> None:
    found = descriptors([tf.zeros((2, 16, 12, 5)), tf.ones((2, 64, 48, 3))])
    assert [part.shape for part in found] == [(2, 24 * 18 * 3), (2, 8 * 6 * 5)]
    found = descriptors([tf.zeros((2, 16, 12, 5)), tf.zeros((2, 4, 3, 7)), tf.ones((2, 64, 48, 3))], textures=True)
    assert [part.shape for part in found] == [(2, 24 * 18 * 3), (2, 2 * 2 * 5), (2, 4 * 3 * 7)]


def test_a_pool_has_two_samples_a_photo_or_more() -> None:
    sizes = pool_sizes(np.array([1000, 0, 10]))
    assert sizes[1] == 0
    assert sizes[0] >= 2000
    assert sizes[2] > 100  # few photos get more
    assert pool_sizes(np.array([1_000_000])).sum() == 20_000


def _pool(dataset: PreparedDataset, config: GanConfig) -> tuple[LatentPool, GanTrainer]:
    strategy = tf.distribute.get_strategy()
    trainer = GanTrainer(dataset, config, strategy)
    features = trainer.discriminator.features
    pool = LatentPool(dataset, trainer.batches, trainer.generate, features, config, strategy)
    progress = TrainingProgress(trainer.batches, epochs=trainer.batches.epochs)
    pool.set_params({"progress": progress})
    return pool, trainer


def test_a_photo_gets_its_components_and_then_its_nearest_sample(checkerboard_dataset: PreparedDataset) -> None:
    config = GanConfig.model_validate({**SMALL, "epochs": 4, "warmup": 0.5, "component_share": 0.0})
    pool, trainer = _pool(checkerboard_dataset, config)
    pool.on_epoch_begin(0)
    first = trainer.batches.pulled_latents
    assert np.abs(first).sum(axis=1).all()
    pool.progress.epoch = 2
    pool.on_epoch_begin(2)
    chosen = trainer.batches.pulled_latents
    assert not np.array_equal(first, chosen)

    category_ids = checkerboard_dataset.items.category_ids.astype(np.int32)
    near = trainer.generate({"latents": tf.constant(chosen), "category_ids": tf.constant(category_ids)}).numpy()
    random = np.random.default_rng(0).standard_normal(chosen.shape).astype(np.float32)
    other = trainer.generate({"latents": tf.constant(random), "category_ids": tf.constant(category_ids)}).numpy()
    photos = checkerboard_dataset.images.read(np.arange(len(chosen), dtype=np.int32)) / 127.5 - 1.0
    assert np.square(near - photos).mean() < np.square(other - photos).mean()

    pool.progress.epoch = 3  # a pool costs more than an epoch of these few images
    pool.on_epoch_begin(3)
    assert trainer.batches.pulled_latents is chosen


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_share_that_keeps_its_components(checkerboard_dataset: PreparedDataset, share: float) -> None:
    config = GanConfig.model_validate({**SMALL, "component_share": share})
    pool, trainer = _pool(checkerboard_dataset, config)
    pool.on_epoch_begin(0)
    components = np.zeros_like(trainer.batches.pulled_latents)
    photos, _ = pool._described_photos()
    for category in trainer.batches.categories.trained:
        rows = trainer.batches.items_of(category)
        components[rows] = component_latents(photos[rows], 6, np.random.default_rng(0))
    assert np.array_equal(components, trainer.batches.pulled_latents) == bool(share)


def test_a_training_with_pools_and_minutes_continues_to_the_bit(
    checkerboard_dataset: PreparedDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Stopped within an epoch after the warm-up, whose latents come from a pool that the checkpoint has to hold.

    Continued on a faster machine, where as many minutes have room for twice the steps, it keeps its own.
    """
    values = {**SMALL, "warmup": 0.25, "checkpoint_steps": 11, "average_decay": 0.5}
    whole = train_gan(checkerboard_dataset, gan_config("plain", **values, steps=16), tmp_path / "whole")

    def halves_in_time(step_seconds: float, **options: Any) -> GanRun:
        monkeypatch.setattr(train_module, "step_seconds", lambda *_: step_seconds)
        config = gan_config("plain", **values)
        return train_gan(checkerboard_dataset, config, tmp_path / "halves", minutes=160.0, **options)

    with caplog.at_level(logging.INFO), pytest.raises(PulledPlugError):
        halves_in_time(600.0, callbacks=[pull_the_plug_before(12)])
    assert "Training takes about 160 minutes: 16 steps" in caplog.text
    halves = halves_in_time(300.0)
    assert halves.config == whole.config
    for network in ("generator", "discriminator"):
        pairs = zip(getattr(whole, network).get_weights(), getattr(halves, network).get_weights(), strict=True)
        for one, other in pairs:
            np.testing.assert_array_equal(one, other)
    one, other = (pl.read_csv(run.path / "history.csv") for run in (whole, halves))
    timed = [name for name in one.columns if "second" in name]
    assert one.drop(timed).equals(other.drop(timed))
    monkeypatch.setattr(train_module, "step_seconds", lambda *_: pytest.fail("measured for nothing"))
    with pytest.raises(OutputExistsError):
        train_gan(checkerboard_dataset, halves.config, halves.path, minutes=160.0)
