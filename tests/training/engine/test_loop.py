from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.batches.source import Batch
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.engine.loop import TrainingProgress, distributed_step, run_epochs
from tfdvbpr.training.recommender.train import train_recommender

Lambda = keras.callbacks.LambdaCallback


class _Numbers:
    """An epoch of four steps, each the number of the step; of seven images, as far as the loop can tell."""

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


def _number(parts: list[Batch]) -> dict[str, np.ndarray]:
    return {"loss": parts[0]["number"]}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """The loop's time stands still; the function lets seconds pass."""
    seconds = [0.0]
    monkeypatch.setattr("tfdvbpr.training.engine.loop.time", SimpleNamespace(perf_counter=lambda: seconds[0]))

    def pass_(more: float) -> None:
        seconds[0] += more

    return pass_


def test_every_step_of_every_epoch_once() -> None:
    strategy = make_strategy("one-device")
    met = tf.Variable(tf.zeros([0]), shape=[None])

    def replica_step(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        met.assign(tf.concat([met, batch["number"][None]], axis=0))
        return {"loss": batch["number"]}

    run_epochs(distributed_step(strategy, replica_step), TrainingProgress(_Numbers(), epochs=3))
    assert met.numpy().tolist() == list(range(12))


def test_callbacks_are_called_as_fit_calls_them(clock: Callable[[float], None]) -> None:
    calls: list[Any] = []

    def step(parts: list[Batch]) -> dict[str, np.ndarray]:
        clock(0.5)
        return _number(parts)

    callback = Lambda(
        on_epoch_begin=lambda epoch, logs: calls.append(("epoch", epoch)),
        on_epoch_end=lambda epoch, logs: calls.append((epoch, logs)),
        on_train_begin=lambda logs: calls.append("begin"),
        on_train_end=lambda logs: calls.append(("end", logs)),
        on_train_batch_begin=lambda batch, logs: calls.append(batch),
    )
    run_epochs(step, TrainingProgress(_Numbers(), epochs=2), callbacks=[callback])
    last = {"loss": 5.5, "images_per_second": 14.0}
    first = {"loss": 1.5, "images_per_second": 14.0}
    steps = [0, 1, 2, 3]
    assert calls == ["begin", ("epoch", 0), *steps, (0, first), ("epoch", 1), *steps, (1, last), ("end", last)]
    params = dict(callback.params)
    assert isinstance(params.pop("progress"), TrainingProgress)
    assert params == {"epochs": 2, "steps": 4, "verbose": 0}


def test_losses_are_read_twice_a_second_within_an_epoch(clock: Callable[[float], None]) -> None:
    """So that the device is not waited for after each step: of 0.3 s, the first and every second step after it."""
    seen: list[float] = []

    def step(parts: list[Batch]) -> dict[str, np.ndarray]:
        clock(0.3)
        return _number(parts)

    callback = Lambda(on_train_batch_end=lambda batch, logs: seen.append(logs["loss"]))
    run_epochs(step, TrainingProgress(_Numbers(), epochs=1), callbacks=[callback])
    assert seen == [0.0, 0.0, 1.0, 1.0]


def test_stop_training_is_obeyed_after_the_epoch_and_every_callback() -> None:
    epochs: list[int] = []

    class StopInSecondEpoch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = len(epochs) == 1

    callbacks = [StopInSecondEpoch(), Lambda(on_epoch_end=lambda epoch, logs: epochs.append(epoch))]
    run_epochs(_number, TrainingProgress(_Numbers(), epochs=5), callbacks=callbacks, model=keras.Sequential())
    assert epochs == [0, 1]


def test_a_callback_adds_to_the_logs_of_those_after_it() -> None:
    seen: list[float] = []
    adds = Lambda(on_epoch_end=lambda epoch, logs: logs.update(validation_auc=0.5 + epoch))
    reads = Lambda(on_epoch_end=lambda epoch, logs: seen.append(logs["validation_auc"]))
    run_epochs(_number, TrainingProgress(_Numbers(), epochs=2), callbacks=[adds, reads])
    assert seen == [0.5, 1.5]


def test_an_error_of_the_batches_ends_training() -> None:
    with pytest.raises(OSError, match="disk on fire"):
        run_epochs(_number, TrainingProgress(_Numbers(broken_at=2), epochs=1))


def test_a_loss_that_is_not_finite_ends_training_and_names_its_batch() -> None:
    def step(parts: list[Batch]) -> dict[str, np.ndarray]:
        return {"loss": np.array(1.0), "penalty": np.array(np.nan if parts[0]["number"] == 6 else 0.0)}

    epochs: list[int] = []
    message = (
        r"`penalty` must stay finite\. It is nan in epoch 2, step 3 of 4 \(7 in all\), on item_ids 6, 7, 8, 9, 10, "
        r"11, 12, 13 and 2 more\. Lower the learning rate"
    )
    callback = Lambda(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    with pytest.raises(FloatingPointError, match=message):
        run_epochs(step, TrainingProgress(_Numbers(), epochs=3), callbacks=[callback])
    assert epochs == [0]


def test_an_epoch_that_is_continued_has_the_means_of_the_whole() -> None:
    """Steps 4 and 5 were done before; 6 and 7 follow."""
    progress = TrainingProgress(_Numbers(), epochs=2)
    progress.load_state({"epoch": 1, "step": 2, "sums": {"loss": 4.0 + 5.0}, "ended": False, "seconds": 100.0})
    states: list[dict[str, Any]] = []
    losses: list[float] = []

    def keep(*_: Any, **__: Any) -> None:
        states.append(progress.state())

    callbacks = [
        Lambda(on_train_batch_end=keep, on_epoch_end=keep),
        Lambda(on_epoch_end=lambda epoch, logs: losses.append(logs["loss"])),
    ]
    run_epochs(_number, progress, callbacks=callbacks)
    assert losses == [(4 + 5 + 6 + 7) / 4]
    assert min(state.pop("seconds") for state in states) > 100
    assert states == [
        {"epoch": 1, "step": 3, "sums": {"loss": 15.0}, "ended": False},
        {"epoch": 1, "step": 4, "sums": {"loss": 22.0}, "ended": False},
        {"epoch": 2, "step": 0, "sums": {}, "ended": True},
    ]


def test_waiting_for_input_is_measured() -> None:
    """Each step's input is begun when the step before has ended, so that nothing of it hides behind a step."""
    free = threading.Semaphore()

    class Slow(_Numbers):
        def epoch(self, epoch: int, **options: Any) -> Iterator[list[Batch]]:
            for parts in super().epoch(epoch, **options):
                free.acquire()
                time.sleep(0.05)
                yield parts

    def step(parts: list[Batch]) -> dict[str, np.ndarray]:
        time.sleep(0.01)
        return _number(parts)

    def waited(batches: _Numbers) -> float:
        progress, waits = TrainingProgress(batches, epochs=1), []
        release = Lambda(on_train_batch_end=lambda batch, logs: free.release())
        keep = Lambda(on_epoch_end=lambda epoch, logs: waits.append(progress.input_wait))
        run_epochs(step, progress, callbacks=[release, keep])
        return float(waits[0])

    assert waited(_Numbers()) < 0.5
    free = threading.Semaphore()
    assert 0.5 < waited(Slow()) < 1


def test_a_training_that_diverges_leaves_no_run(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    config = recommender_config("bpr-mf", epochs=3, embedding_dim=4, user_learning_rate=1e30, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="must stay finite"):
        train_recommender(checkerboard_dataset, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
