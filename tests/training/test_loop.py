from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.config import recommender_config
from tfdvbpr.data.batches import Batch
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.training.loop import StepReport, distributed_step, run_epochs
from tfdvbpr.training.recommender_trainer import train_recommender
from tfdvbpr.training.strategy import make_strategy


class _Numbers:
    """An epoch of four steps, each the number of the step; of seven pictures, as far as the loop can tell."""

    steps_per_epoch = 4
    images_per_step = 7

    def __init__(self, *, broken_at: int | None = None) -> None:
        self._broken_at = broken_at

    def epoch(self, epoch: int) -> Iterator[list[Batch]]:
        for step in range(self.steps_per_epoch):
            if step == self._broken_at:
                raise OSError("disk on fire")
            yield [{"number": np.array(epoch * self.steps_per_epoch + step, np.float32)}]


def _slow_step(parts: list[Batch]) -> dict[str, np.ndarray]:
    time.sleep(0.01)
    return {"loss": parts[0]["number"]}


def test_every_step_of_every_epoch_once() -> None:
    strategy = make_strategy("one-device")
    met = tf.Variable(tf.zeros([0]), shape=[None])

    def replica_step(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        met.assign(tf.concat([met, batch["number"][None]], axis=0))
        return {"loss": batch["number"]}

    run_epochs(distributed_step(strategy, replica_step), _Numbers(), epochs=3)
    assert met.numpy().tolist() == list(range(12))


def test_reports_count_steps_and_average_losses_over_the_epoch() -> None:
    reports: list[StepReport] = []
    began = time.perf_counter()
    run_epochs(_slow_step, _Numbers(), epochs=3, first_epoch=1, observer=reports.append)
    taken = time.perf_counter() - began
    assert [(report.epoch, report.step, report.num_steps) for report in reports] == [(1, 8, 12), (2, 12, 12)]
    assert [report.losses["loss"] for report in reports] == [5.5, 9.5]
    for report in reports:
        assert 0 < report.images_per_second <= 7 / 0.01
        assert 0 < report.seconds <= taken
    assert reports[0].seconds < reports[1].seconds


def test_the_observer_hears_about_twice_a_second_within_an_epoch() -> None:
    reports: list[StepReport] = []

    def step(parts: list[Batch]) -> dict[str, np.ndarray]:
        time.sleep(0.3)
        return {"loss": parts[0]["number"]}

    run_epochs(step, _Numbers(), epochs=1, observer=reports.append)
    assert [report.step for report in reports] == [2, 4, 4]


def test_every_action_runs_before_training_stops() -> None:
    calls: list[str] = []

    def stop(report: StepReport) -> bool:
        calls.append(f"stop {report.epoch}")
        return report.epoch == 1

    def note(report: StepReport) -> bool:
        calls.append(f"note {report.epoch}")
        return False

    run_epochs(_slow_step, _Numbers(), epochs=5, actions=[stop, note])
    assert calls == ["stop 0", "note 0", "stop 1", "note 1"]


def test_an_error_of_the_drawing_thread_ends_training() -> None:
    with pytest.raises(OSError, match="disk on fire"):
        run_epochs(_slow_step, _Numbers(broken_at=2), epochs=1)


def test_a_loss_that_is_not_finite_ends_training() -> None:
    def step(parts: list[Batch]) -> dict[str, np.ndarray]:
        return {"loss": np.array(1.0), "penalty": np.array(np.nan if parts[0]["number"] == 6 else 0.0)}

    epochs: list[int] = []
    with pytest.raises(FloatingPointError, match=r"`penalty` must stay finite\. It is nan\. Lower the learning rate"):
        run_epochs(step, _Numbers(), epochs=3, actions=[lambda report: bool(epochs.append(report.epoch))])
    assert epochs == [0]


def test_a_training_that_diverges_leaves_no_run(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    config = recommender_config("bpr-mf", epochs=3, embedding_dim=4, user_learning_rate=1e30, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="must stay finite"):
        train_recommender(checkerboard_dataset, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
