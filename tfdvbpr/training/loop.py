"""The training loop, and the only strategy.run in the project."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tfdvbpr.data.batches import Batch

ReplicaStep = Callable[[Mapping[str, Any]], dict[str, Any]]

_REPORT_SECONDS = 0.5
_PREFETCH = 3


class Batches(Protocol):
    """Something that draws the steps of an epoch, a part a replica."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch."""
        ...

    @property
    def images_per_step(self) -> int:
        """Pictures a step over all replicas, for the speed."""
        ...

    def epoch(self, epoch: int, *, first_step: int = 0, replicas: Sequence[int] | None = None) -> Iterator[list[Batch]]:
        """The steps from `first_step`; a part for each of `replicas`, in their order, or for all of them.

        A step is a function of (seed, epoch, step) alone. Ids are drawn for the whole global batch, pictures are read
        for the wanted replicas only.
        """
        ...


@dataclass(frozen=True)
class StepReport:
    """How training stands, about twice a second and at each epoch's end.

    Attributes:
        epoch: from 0.
        step: steps done in all, over every epoch.
        num_steps: steps there will be.
        losses: mean of each since the epoch began.
        images_per_second: pictures through the network, over all replicas, in this epoch so far.
        seconds: since this process began to train.
    """

    epoch: int
    step: int
    num_steps: int
    losses: Mapping[str, float]
    images_per_second: float
    seconds: float


Observer = Callable[[StepReport], None]
Action = Callable[[StepReport], bool]


def distributed_step(strategy: Any, replica_step: ReplicaStep) -> Callable[[Sequence[Batch]], dict[str, Any]]:
    """Compiles one step over all replicas.

    Args:
        strategy: made by `make_strategy`.
        replica_step: from one replica's part to its share of each loss; shares are summed over the replicas.

    Returns:
        A function of one step's parts to scalars.
    """

    @tf.function(reduce_retracing=True, autograph=False)  # nothing to convert, and looking for it takes time
    def step(parts: Any) -> dict[str, Any]:
        shares = strategy.run(replica_step, args=(parts,))
        return {name: strategy.reduce("SUM", share, axis=None) for name, share in shares.items()}

    def run(parts: Sequence[Batch]) -> dict[str, Any]:
        def part(context: Any) -> dict[str, Any]:
            chosen = parts[context.replica_id_in_sync_group]
            return {name: tf.convert_to_tensor(array) for name, array in chosen.items()}

        if strategy.num_replicas_in_sync == 1:
            return step({name: tf.convert_to_tensor(array) for name, array in parts[0].items()})
        return step(strategy.experimental_distribute_values_from_function(part))

    return run


def run_epochs(
    step: Callable[[Sequence[Batch]], dict[str, Any]],
    batches: Batches,
    *,
    epochs: int,
    first_epoch: int = 0,
    actions: Sequence[Action] = (),
    observer: Observer | None = None,
) -> None:
    """Trains until the last epoch, or until an action says stop.

    Args:
        step: made by `distributed_step`.
        batches: draws the steps; the next ones are drawn on a thread of their own meanwhile.
        epochs: the number to end after, counted from 0 and not from `first_epoch`.
        first_epoch: above 0 when resuming.
        actions: called in order after each epoch; training stops after the epoch in which one returns true.
        observer: told how training stands.

    Raises:
        FloatingPointError: if a loss is no longer finite.
    """
    began = time.perf_counter()
    num_steps = epochs * batches.steps_per_epoch
    for epoch in range(first_epoch, epochs):
        report = _run_epoch(step, batches, epoch, num_steps=num_steps, began=began, observer=observer)
        wishes = [action(report) for action in actions]  # each acts, even where an earlier one says stop
        if any(wishes):
            return


def _run_epoch(
    step: Callable[[Sequence[Batch]], dict[str, Any]],
    batches: Batches,
    epoch: int,
    *,
    num_steps: int,
    began: float,
    observer: Observer | None,
) -> StepReport:
    epoch_began = told = time.perf_counter()
    history: list[dict[str, Any]] = []
    done = epoch * batches.steps_per_epoch

    def report() -> StepReport:
        now = time.perf_counter()
        losses = {name: float(np.mean([losses[name] for losses in history])) for name in history[0]}
        for name, value in losses.items():
            if not np.isfinite(value):
                raise FloatingPointError(f"`{name}` must stay finite. It is {value}. Lower the learning rate.")
        speed = len(history) * batches.images_per_step / (now - epoch_began)
        return StepReport(epoch, done + len(history), num_steps, losses, speed, now - began)

    for parts in _prefetched(batches.epoch(epoch)):
        history.append(step(parts))
        if observer is not None and time.perf_counter() - told > _REPORT_SECONDS:
            observer(report())
            told = time.perf_counter()
    last = report()
    if observer is not None:
        observer(last)
    return last


def _prefetched(steps: Iterator[list[Batch]]) -> Iterator[list[Batch]]:
    """Draws ahead on a thread; NumPy and JPEG decoding leave Python's lock."""
    ready: queue.Queue[list[Batch] | BaseException | None] = queue.Queue(maxsize=_PREFETCH)
    stopped = threading.Event()

    def put(value: list[Batch] | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                ready.put(value, timeout=0.1)
                break
            except queue.Full:
                continue

    def draw() -> None:
        try:
            for parts in steps:
                put(parts)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    threading.Thread(target=draw, daemon=True).start()
    try:
        while (parts := ready.get()) is not None:
            if isinstance(parts, BaseException):
                raise parts
            yield parts
    finally:
        stopped.set()
