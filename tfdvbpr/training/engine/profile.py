"""Where the time of a training step goes: a table for people, and a profile for TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tfdvbpr.data.batches.source import Batch
from tfdvbpr.training.checkpoints.state import assign, values, variables
from tfdvbpr.training.distributed.strategy import local_replicas
from tfdvbpr.training.engine.loop import Batches, distributed_step

FOLDER = "profile"
_STEPS = 4
_WARM = 2

Shares = dict[str, Any]


class Profiled(Protocol):
    """A trainer whose step can be run in parts."""

    batches: Batches

    @property
    def parts(self) -> Mapping[str, Callable[[Mapping[str, Any]], Shares]]:
        """Replica steps, each of which does what the one before does and more; the last is the whole step."""
        ...

    def replica_step(self, batch: Mapping[str, Any]) -> Shares:
        """The whole step."""
        ...

    def trackables(self) -> dict[str, Any]:
        """What a step changes."""
        ...


@dataclass(frozen=True)
class StepProfile:
    """Seconds of one training step, each the median of a few.

    Attributes:
        seconds: by name: `input` (drawing and reading a batch, with nothing else running), then what each part adds.
        step_seconds: of the whole step, its batch being there.
        pictures: encoded a step, over all replicas.
        folder: what TensorBoard reads; None where no trace was taken.
    """

    seconds: Mapping[str, float]
    step_seconds: float
    pictures: int
    folder: Path | None

    def rows(self) -> list[tuple[str, str, str]]:
        """(part, milliseconds, share of the step) for people; input, which runs beside the step, has a share too."""
        return [
            (name, f"{1000 * spent:.1f}", f"{spent / self.step_seconds:.0%}")
            for name, spent in (*self.seconds.items(), ("step", self.step_seconds))
        ]


def profile_steps(trainer: Profiled, strategy: Any, folder: Path | None) -> StepProfile:
    """Runs a few steps in parts and a few under TensorFlow's profiler, and puts back all that they changed.

    A part is a step of its own that is compiled separately and ends early: forward alone, forward and backward, the
    whole. What a part takes is the difference to the one before. TensorFlow prunes what nothing depends on, so each
    returns a number that depends on all it computed.

    Args:
        trainer: what is profiled.
        strategy: the trainer's.
        folder: where TensorBoard's profile goes; None for none.
    """
    named = variables(trainer.trackables())
    kept = values(named)
    batches, input_seconds = _drawn(trainer.batches, local_replicas(strategy))
    spent = {name: _median_seconds(distributed_step(strategy, part), batches) for name, part in trainer.parts.items()}
    if folder is not None:
        _trace(distributed_step(strategy, trainer.replica_step), batches, folder)
    assign(named, kept)
    ends = list(spent.values())
    added = {name: max(end - before, 0.0) for name, end, before in zip(spent, ends, [0.0, *ends[:-1]], strict=True)}
    return StepProfile({"input": input_seconds, **added}, ends[-1], trainer.batches.images_per_step, folder)


def _drawn(batches: Batches, replicas: Sequence[int]) -> tuple[list[Sequence[Batch]], float]:
    """A few steps' batches, and the median seconds one took to draw and read."""
    drawn: list[Sequence[Batch]] = []
    spent = []
    epoch = 0
    while len(drawn) <= _STEPS:
        steps = batches.epoch(epoch, replicas=replicas)
        for _ in range(min(batches.steps_per_epoch, _STEPS + 1 - len(drawn))):
            began = time.perf_counter()
            drawn.append(next(steps))
            spent.append(time.perf_counter() - began)
        epoch += 1
    return drawn, float(np.median(spent[1:]))  # the first one compiles the decoder


def _median_seconds(step: Callable[[Sequence[Batch]], Shares], batches: Sequence[Sequence[Batch]]) -> float:
    spent = []
    for number in range(_WARM + _STEPS):
        began = time.perf_counter()
        for share in step(batches[number % len(batches)]).values():
            float(share)  # waits for the device
        spent.append(time.perf_counter() - began)
    return float(np.median(spent[_WARM:]))


def _trace(step: Callable[[Sequence[Batch]], Shares], batches: Sequence[Sequence[Batch]], folder: Path) -> None:
    step(batches[0])
    tf.profiler.experimental.start(str(folder))
    try:
        for number, batch in enumerate(batches[:_STEPS]):
            with tf.profiler.experimental.Trace("train", step_num=number, _r=1):
                for share in step(batch).values():
                    float(share)
    finally:
        tf.profiler.experimental.stop()
