from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.batches.source import Batch
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.engine.loop import Moment, Position, StepReport, distributed_step, run_epochs
from tfdvbpr.training.recommender.train import train_recommender


class _Numbers:
    """An epoch of four steps, each the number of the step; of seven pictures, as far as the loop can tell."""

    steps_per_epoch = 4
    images_per_step = 7

    def __init__(self, *, broken_at: int | None = None) -> None:
        self._broken_at = broken_at

    def epoch(self, epoch: int, *, first_step: int = 0, replicas: Sequence[int] | None = None) -> Iterator[list[Batch]]:
        for step in range(first_step, self.steps_per_epoch):
            if step == self._broken_at:
                raise OSError("disk on fire")
            number = epoch * self.steps_per_epoch + step
            yield [{"number": np.array(number, np.float32), "item_ids": np.arange(number, number + 10)}]


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
    run_epochs(_slow_step, _Numbers(), epochs=3, position=Position(1), observer=reports.append)
    taken = time.perf_counter() - began
    assert [(report.epoch, report.step, report.num_steps) for report in reports] == [(1, 8, 12), (2, 12, 12)]
    assert [report.losses["loss"] for report in reports] == [5.5, 9.5]
    for report in reports:
        assert 0 < report.images_per_second <= 7 / 0.01
        assert 0 < report.seconds <= taken
    assert reports[0].seconds < reports[1].seconds


def test_the_observer_hears_about_twice_a_second_within_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[StepReport] = []
    seconds = [0.0]
    monkeypatch.setattr("tfdvbpr.training.engine.loop.time", SimpleNamespace(perf_counter=lambda: seconds[0]))

    def step(parts: list[Batch]) -> dict[str, np.ndarray]:
        seconds[0] += 0.3
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


def test_a_loss_that_is_not_finite_ends_training_and_names_its_batch() -> None:
    def step(parts: list[Batch]) -> dict[str, np.ndarray]:
        return {"loss": np.array(1.0), "penalty": np.array(np.nan if parts[0]["number"] == 6 else 0.0)}

    epochs: list[int] = []
    message = (
        r"`penalty` must stay finite\. It is nan in epoch 2, step 3 of 4 \(7 in all\), on item_ids 6, 7, 8, 9, 10, "
        r"11, 12, 13 and 2 more\. Lower the learning rate"
    )
    with pytest.raises(FloatingPointError, match=message):
        run_epochs(step, _Numbers(), epochs=3, actions=[lambda report: bool(epochs.append(report.epoch))])
    assert epochs == [0]


def test_an_epoch_taken_up_has_the_means_of_the_whole() -> None:
    """Steps 4 and 5 were done before; 6 and 7 follow. Watches are called after each, and once more between epochs."""
    reports: list[StepReport] = []
    positions: list[tuple[bool, Position]] = []

    def watch(moment: Moment) -> None:
        positions.append((moment.between, moment.position()))

    taken_up = Position(1, 2, {"loss": 4.0 + 5.0})
    run_epochs(_slow_step, _Numbers(), epochs=2, position=taken_up, observer=reports.append, watches=[watch])
    assert [report.losses["loss"] for report in reports] == [(4 + 5 + 6 + 7) / 4]
    assert positions == [
        (False, Position(1, 3, {"loss": 15.0})),
        (False, Position(1, 4, {"loss": 22.0})),
        (True, Position(2, 0, {}, ended=True)),
    ]


def test_waiting_for_input_is_measured() -> None:
    """Each step's input is begun when the step before has ended, so that nothing of it hides behind a step."""
    free = threading.Semaphore()

    class Slow(_Numbers):
        def epoch(self, epoch: int, **options: Any) -> Iterator[list[Batch]]:
            for parts in super().epoch(epoch, **options):
                free.acquire()
                time.sleep(0.3)
                yield parts

    def step(parts: list[Batch]) -> dict[str, np.ndarray]:
        time.sleep(0.1)
        return {"loss": np.array(0.0)}

    slow: list[StepReport] = []
    fast: list[StepReport] = []
    run_epochs(step, Slow(), epochs=1, observer=slow.append, watches=[lambda moment: free.release()])
    run_epochs(step, _Numbers(), epochs=1, observer=fast.append)
    assert 0.9 < slow[-1].input_seconds <= slow[-1].epoch_seconds
    assert fast[-1].input_wait < 0.5 < slow[-1].input_wait < 1


def test_each_step_runs_in_what_is_around_it() -> None:
    numbers: list[int] = []

    def around(number: int) -> AbstractContextManager[object]:
        numbers.append(number)
        return nullcontext()

    run_epochs(_slow_step, _Numbers(), epochs=2, position=Position(0, 2, {"loss": 1.0}), around=around)
    assert numbers == [2, 3, 4, 5, 6, 7]


def test_a_training_that_diverges_leaves_no_run(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    config = recommender_config("bpr-mf", epochs=3, embedding_dim=4, user_learning_rate=1e30, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="must stay finite"):
        train_recommender(checkerboard_dataset, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
