from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.config import GanConfig, gan_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError
from tfdvbpr.training.gan.batches import GanBatches
from tfdvbpr.training.gan.budget import TimeBudget, budget_notes, step_seconds, steps_in
from tfdvbpr.training.gan.trainer import GanTrainer

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


def _train_in_time(minutes: float | None, seconds: list[float]) -> tuple[TimeBudget, list[tuple[int, int]]]:
    """Ten epochs of 100 steps are planned, two of them to warm up; returns the calls of `replan` too."""
    calls: list[tuple[int, int]] = []
    batches = SimpleNamespace(epochs=10, warmup_steps=200)
    trainer = SimpleNamespace(batches=batches, replan=lambda step, last: calls.append((step, last)))
    budget = TimeBudget(minutes, trainer, tf.distribute.get_strategy())  # type: ignore[arg-type]
    progress = SimpleNamespace(epochs=10, steps_per_epoch=100, seconds=0.0, total_steps=0)
    budget.set_params({"progress": progress})
    budget.on_train_begin()
    for epoch, spent in enumerate(seconds):
        progress.seconds += spent
        progress.total_steps += 100
        budget.on_epoch_end(epoch)
        if epoch + 1 >= progress.epochs:
            break
    return budget, calls


def test_a_training_on_a_slower_machine_has_fewer_epochs_and_ends_in_time() -> None:
    """100 s for epochs of 5 s (the warm-up) and 10 s. From the fourth on they take 20 s; 60 s are left after it."""
    budget, calls = _train_in_time(100 / 60, [5, 5, 10, 20, 20, 20, 20, 20])
    assert budget.state() == {"epochs": 7}
    assert calls == [(400, 700)]


def test_a_training_that_catches_up_has_the_planned_epochs_and_no_more() -> None:
    """After 50 s there is room for one epoch of 30 s in the rest, after a fast one for three of 15.5 s."""
    budget, calls = _train_in_time(100 / 60, [5, 5, 10, 30, 1, 1, 1, 1, 1, 1])
    assert [last for _, last in calls] == [500, 800, 1000]
    assert budget.state() == {"epochs": 10}
    assert _train_in_time(None, [5, 5, 10, 1e6, 1e6])[1] == []


def test_a_continued_training_has_the_epochs_that_were_left() -> None:
    budget, _ = _train_in_time(100 / 60, [5, 5, 10, 20])
    again, _ = _train_in_time(100 / 60, [])
    again.load_state(budget.state())
    again.on_train_begin()
    assert again.progress.epochs == budget.progress.epochs == 7


def test_step_sizes_fall_to_the_same_end_over_fewer_steps(checkerboard_dataset: PreparedDataset) -> None:
    config = gan_config("plain", **{**SMALL, "steps": 400, "learning_rate": 1.0, "final_learning_rate": 0.1})
    trainer = GanTrainer(checkerboard_dataset, config, tf.distribute.get_strategy())
    optimizer = trainer.generator_optimizer

    def rates(*steps: int) -> list[float]:
        found = []
        for step in steps:
            optimizer.iterations.assign(step)
            found.append(float(optimizer.learning_rate))
        return found

    np.testing.assert_allclose(rates(0, 200, 400), [1.0, 0.55, 0.1], rtol=1e-6)
    trainer.replan(200, 300)
    np.testing.assert_allclose(rates(200, 250, 300), [0.55, 0.1 + 0.45 * (1 - 0.5**0.5), 0.1], rtol=1e-5)
    trainer.replan(250, 400)
    np.testing.assert_allclose(rates(250, 400), [0.1 + 0.45 * (1 - 0.5**0.5), 0.1], rtol=1e-5)
