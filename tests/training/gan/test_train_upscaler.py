"""A few steps of the upscaler of a GAN that needs no pretrained weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny_data import Command, checkerboard
from training_callbacks import PulledPlugError, pull_the_plug_before

from tfdvbpr import api
from tfdvbpr.config.upscaler import upscaler_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.sample import sample_images
from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.run import GanRun
from tfdvbpr.training.gan.batches import PULLED, GanBatches
from tfdvbpr.training.gan.upscaling import reduced, uniform_amounts

SETTINGS = {
    "steps": 4,
    "warmup": 0,
    "base_channels": 3,
    "discriminator_channels": 4,
    "global_batch_size": 4,
    "checkpoint_steps": 1,
}
CONFIG = upscaler_config(**SETTINGS)


@pytest.fixture(scope="module")
def large_dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return checkerboard(tmp_path_factory.mktemp("large"), size=64)


@pytest.fixture(scope="module")
def large_run(tiny_gan_run: GanRun, large_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> GanRun:
    """Interrupted, and continued; another GAN cannot continue it."""
    folder = tmp_path_factory.mktemp("upscaled")
    stop = [pull_the_plug_before(3)]
    with pytest.raises(PulledPlugError):
        api.train_upscaler(tiny_gan_run, large_dataset, folder / "gan", config=CONFIG, callbacks=stop)
    other = Path(shutil.copytree(tiny_gan_run.path, folder / "other"))
    tiny_gan_run.discriminator.save_weights(other / "generator.weights.h5")
    with pytest.raises(RunError, match="Another training was interrupted"):
        api.train_upscaler(other, large_dataset, folder / "gan", config=CONFIG)
    return api.train_upscaler(tiny_gan_run, large_dataset, folder / "gan", config=CONFIG)


def test_the_run_is_the_gan_with_an_upscaler(large_run: GanRun, tiny_gan_run: GanRun) -> None:
    assert tiny_gan_run.shown_size == tiny_gan_run.manifest.image_size == (32, 32)
    assert large_run.shown_size == (64, 64)
    assert large_run.manifest.dataset_fingerprint == tiny_gan_run.manifest.dataset_fingerprint
    small, again = (sample_images(run, ["shirt"], seeds=[3]) for run in (tiny_gan_run, large_run))
    np.testing.assert_array_equal(small, again)
    assert all(np.abs(weight).max() > 0 for weight in large_run.upscaler.get_weights())  # biases began at 0
    large = sample_images(large_run, ["shirt"], seeds=[3], shown=True)
    assert large.shape == (1, 64, 64, 3)
    means = large.reshape(1, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    assert np.abs(means - small).mean() < 8  # of 255
    with Image.open(large_run.path / "samples.png") as sheet:
        assert sheet.size[1] > 2 * 64
    assert (large_run.path / "upscaling" / "samples" / "epoch-001.png").is_file()
    history = (large_run.path / "upscaling" / "history.csv").read_text()
    assert {"pull", "kept", "generator_loss"} <= set(history.splitlines()[0].split(","))


def test_photos_are_softened_by_uniform_amounts(tiny_gan_run: GanRun, large_dataset: PreparedDataset) -> None:
    batches = GanBatches(large_dataset, CONFIG.as_gan(tiny_gan_run.config), num_replicas=1)
    parts = [part["latents"][PULLED] for epoch in range(30) for (part,) in batches.epoch(epoch)]
    amounts = np.sort(uniform_amounts(tf.constant(np.concatenate(parts))).numpy())
    assert len(amounts) >= 200
    np.testing.assert_allclose(amounts, np.linspace(0, 1, len(amounts)), atol=0.12)


def test_reduced_photos_are_means_and_softer_by_their_amount() -> None:
    photos = tf.constant(np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)), tf.float32)
    means = photos.numpy().reshape(2, 8, 2, 8, 2, 3).mean(axis=(2, 4))
    sharp, soft = reduced(photos, tf.constant([0.0, 0.0])), reduced(photos, tf.constant([0.0, 1.0]))
    np.testing.assert_allclose(sharp, means, atol=1e-6)
    np.testing.assert_allclose(soft[0], means[0], atol=1e-6)
    assert np.std(soft[1]) < 0.6 * np.std(means[1])
    even = tf.ones((1, 16, 16, 3)) * 0.5
    np.testing.assert_allclose(reduced(even, tf.constant([1.0])), 0.5 * np.ones((1, 8, 8, 3)), atol=1e-6)


def test_another_dataset_is_refused(
    tiny_gan_run: GanRun, checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"must have images of 64x64, twice the GAN's\. .* are 32x32\. Prepare"):
        api.train_upscaler(tiny_gan_run, checkerboard_dataset, tmp_path / "gan")


def test_a_run_without_its_upscalers_weights_is_damaged(large_run: GanRun, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(large_run.path, tmp_path / "gan"))
    (copy / "upscaler.weights.h5").unlink()
    with pytest.raises(RunError, match=r"upscaler\.weights\.h5"):
        _ = GanRun.open(copy).upscaler


def test_the_command_gives_what_an_interrupted_training_gave(
    command: Command, large_run: GanRun, tiny_gan_run: GanRun, large_dataset: PreparedDataset, tmp_path: Path
) -> None:
    settings = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
    arguments = ("train-upscaler", tiny_gan_run.path, large_dataset.path, "--output", tmp_path / "gan", *settings)
    code, printed, error = command(*arguments, "--json")
    assert code == 0, error
    assert json.loads(printed)["result"]["images"] == "64x64"
    for weight, expected in zip(
        GanRun.open(tmp_path / "gan").upscaler.weights, large_run.upscaler.weights, strict=True
    ):
        np.testing.assert_array_equal(weight, expected)
    code, printed, error = command("generate", tmp_path / "gan", "--count", "2", "--output", tmp_path / "samples")
    assert code == 0, error
    with Image.open(tmp_path / "samples" / "sample_001.png") as image:
        assert image.size == (64, 64)
