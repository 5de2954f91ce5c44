"""How many steps a training of a GAN has, also while it goes, how long they take, and whether they are enough."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from math import ceil, inf
from typing import Any

import numpy as np

from tfdvbpr.config import GanConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError
from tfdvbpr.training.distributed.strategy import broadcast_number, local_replicas
from tfdvbpr.training.engine.callbacks import TrainingCallback
from tfdvbpr.training.engine.loop import distributed_step
from tfdvbpr.training.gan.batches import GanBatches
from tfdvbpr.training.gan.trainer import GanTrainer

_TIMED_STEPS = 3
_OTHER_WORK = 1.2  # pools, sample grids and checkpoints, beside the steps
# By eye: garments could be named after 900 steps, and not after 300.
RECOGNISABLE_STEPS, RECOGNISABLE_IMAGES = 1_000, 300
_TIMED_EPOCHS = 4

_log = logging.getLogger(__name__)


def step_seconds(dataset: PreparedDataset, config: GanConfig, strategy: Any) -> float:
    """Measures the seconds of a step, the mean over a training, with the other work's part; the chief's on all workers.

    Builds networks of its own, and compiles and runs a few of both kinds of steps, which takes half a minute.
    """
    trainer = GanTrainer(dataset, config, strategy)
    batches, step = trainer.batches, distributed_step(strategy, trainer.replica_step)
    share = batches.warmup_steps / (batches.epochs * batches.steps_per_epoch)
    seconds = 0.0
    for part, first in ((share, 0), (1.0 - share, batches.epochs - 1)):
        if part:
            parts = next(batches.epoch(first, replicas=local_replicas(strategy)))
            seconds += part * min(_timed(step, parts) for _ in range(_TIMED_STEPS))
    return broadcast_number(strategy, round(1e6 * _OTHER_WORK * seconds)) / 1e6


def _timed(step: Any, parts: Any) -> float:
    step(parts)  # compiles it the first time
    began = time.perf_counter()
    losses = step(parts)
    for loss in losses.values():
        float(loss)  # waits for the device
    return time.perf_counter() - began


def steps_in(minutes: float, seconds_per_step: float) -> int:
    """The number of steps that `minutes` have room for.

    Raises:
        ConfigError: if it is none.
    """
    steps = int(60.0 * minutes / seconds_per_step)
    if steps < 1:
        raise ConfigError(
            f"`minutes` must leave room for a step. One takes {seconds_per_step:.1f} s. Received {minutes:g}. "
            "Give more minutes, smaller images or a GPU."
        )
    return steps


class TimeBudget(TrainingCallback):
    """Ends a training in time on a machine that has become slower since the number of its steps was chosen.

    After each epoch behind the warm-up, as many epochs are left as have room in the rest of the minutes, by the mean
    time of the last four, and as many as were planned at most. The step sizes then fall faster, to the same end. The
    warm-up keeps its length.

    Args:
        minutes: for the whole training, with the time before an interruption; None for no limit.
        trainer: its step sizes follow.
        strategy: the chief's time counts on every worker.
    """

    def __init__(self, minutes: float | None, trainer: GanTrainer, strategy: Any) -> None:
        super().__init__()
        self._seconds = inf if minutes is None else 60.0 * minutes
        self._trainer, self._strategy = trainer, strategy
        self._planned = self._epochs = trainer.batches.epochs
        self._ended: float | None = None
        self._spent: deque[float] = deque(maxlen=_TIMED_EPOCHS)

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Continues with the epochs that were left."""
        self.progress.epochs = self._epochs

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Plans the rest."""
        step, seconds = self.progress.total_steps, self.progress.seconds
        if step <= self._trainer.batches.warmup_steps:
            return
        if self._ended is not None:  # the first epoch compiled the step
            self._spent.append(seconds - self._ended)
        self._ended = seconds
        if not self._spent:
            return
        room = max(self._seconds - seconds, 0.0) / float(np.mean(self._spent))
        epochs = broadcast_number(self._strategy, int(min(epoch + 1 + room, self._planned)))
        if epochs != self._epochs:
            self._epochs = self.progress.epochs = epochs
            self._trainer.replan(step, epochs * self.progress.steps_per_epoch)
            _log.info("Epoch %d: of %d planned epochs %d have room in the time.", epoch + 1, self._planned, epochs)

    def state(self) -> dict[str, Any]:
        """The epochs in all."""
        return {"epochs": self._epochs}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a state."""
        self._epochs = state["epochs"]


def budget_notes(batches: GanBatches, seconds_per_step: float | None) -> Iterator[str]:
    """Lines about how long training takes, where that is known, and about too few steps or images."""
    steps, images = batches.epochs * batches.steps_per_epoch, len(batches.trained_items)
    if seconds_per_step is not None:
        yield f"Training takes about {steps * seconds_per_step / 60:.0f} minutes: {steps} steps on {images} images."
    if steps < RECOGNISABLE_STEPS:
        advice = f"Pass --minutes or --set steps={5 * RECOGNISABLE_STEPS}."
        if seconds_per_step is not None:
            enough = ceil(RECOGNISABLE_STEPS * seconds_per_step / 60)
            advice = f"So many take {enough:,} minutes here: pass --minutes {enough}, or prepare smaller images."
        yield f"Warning: {steps} steps are few. Below {RECOGNISABLE_STEPS} samples may be hard to recognise. {advice}"
    if images < RECOGNISABLE_IMAGES:
        smallest = int(np.min(batches.categories.counts_trained[batches.categories.trained]))
        yield (
            f"Warning: {images} images are few, and the smallest category has {smallest}. Samples will vary little. "
            "Add images of the same categories, also of items without interactions, or leave small categories out with "
            "--set min_category_images=40."
        )
