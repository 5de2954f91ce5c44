from __future__ import annotations

import logging
from pathlib import Path

import pytest
import tensorflow as tf

from tfdvbpr.config import GanConfig, gan_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError, OutputExistsError
from tfdvbpr.training.gan import train as train_module
from tfdvbpr.training.gan.batches import GanBatches
from tfdvbpr.training.gan.budget import budget_notes, step_seconds, steps_in
from tfdvbpr.training.gan.train import train_gan

SMALL = {"base_channels": 4, "discriminator_channels": 4, "global_batch_size": 8, "latent_dim": 6}


def test_minutes_as_steps() -> None:
    assert steps_in(2.0, 0.5) == 240
    with pytest.raises(ConfigError, match=r"leave room for a step\. One takes 90\.0 s\. Received 1\. Give more"):
        steps_in(1.0, 90.0)


def test_the_time_of_a_step_is_measured_in_both_phases(checkerboard_dataset: PreparedDataset) -> None:
    config = gan_config("plain", **{**SMALL, "pull_weight": 1.0, "warmup": 0.5, "epochs": 4})
    assert 0.0 < step_seconds(checkerboard_dataset, config, tf.distribute.get_strategy()) < 60.0


def test_notes_on_a_budget(checkerboard_dataset: PreparedDataset) -> None:
    batches = GanBatches(checkerboard_dataset, GanConfig.model_validate({**SMALL, "steps": 600}), num_replicas=1)
    time, few_steps, few_images = budget_notes(batches, 0.5)
    images = len(batches.trained_items)
    assert time == f"Training takes about 5 minutes: 600 steps on {images} images."
    few = "Warning: 600 steps are few. Below 1000 samples may be hard to recognise. "
    assert few_steps == few + "So many take 9 minutes here: pass --minutes 9, or prepare smaller images."
    assert next(iter(budget_notes(batches, None))) == few + "Pass --minutes or --set steps=5000."
    assert few_images.startswith(f"Warning: {images} images are few, and the smallest category has ")
    many = GanBatches(checkerboard_dataset, GanConfig.model_validate({**SMALL, "steps": 1000}), num_replicas=1)
    assert [line.split(":")[0] for line in budget_notes(many, None)] == ["Warning"]


def test_an_interrupted_training_keeps_the_steps_of_its_minutes(
    checkerboard_dataset: PreparedDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import keras

    config = gan_config("plain", **SMALL)
    monkeypatch.setattr(train_module, "step_seconds", lambda *arguments: 1.0)
    end = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: (_ for _ in ()).throw(InterruptedError))
    with caplog.at_level(logging.INFO), pytest.raises(InterruptedError):
        train_gan(checkerboard_dataset, config, tmp_path / "run", callbacks=[end], minutes=0.1)
    assert "Training takes about 0 minutes: 6 steps" in caplog.text
    monkeypatch.setattr(train_module, "step_seconds", lambda *arguments: 0.5)
    run = train_gan(checkerboard_dataset, config, tmp_path / "run", minutes=0.1)
    assert run.config.steps == 6
    monkeypatch.setattr(train_module, "step_seconds", lambda *arguments: pytest.fail("measured for nothing"))
    with pytest.raises(OutputExistsError):
        train_gan(checkerboard_dataset, config, tmp_path / "run", minutes=0.1)
