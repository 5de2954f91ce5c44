"""The training loop, and the only strategy.run in the project."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import tensorflow as tf

from tfdvbpr.data.batches.source import Batch
from tfdvbpr.training.distributed.strategy import local_replicas
from tfdvbpr.training.engine.moment import INTERRUPTED, Batches, Moment, Position, StepReport
from tfdvbpr.training.engine.prefetch import prefetched

ReplicaStep = Callable[[Mapping[str, Any]], dict[str, Any]]
Step = Callable[[Sequence[Batch]], dict[str, Any]]
Around = Callable[[int], AbstractContextManager[object]]
Observer = Callable[[StepReport], None]
Action = Callable[[StepReport], bool]
Watch = Callable[[Moment], None]

_REPORT_SECONDS = 0.5


def distributed_step(
    strategy: Any, replica_step: ReplicaStep, *, interrupted: Callable[[], bool] | None = None
) -> Step:
    """Compiles one step over all replicas.

    Args:
        strategy: made by `make_strategy`.
        replica_step: from one replica's part to its share of each loss; shares are summed over the replicas.
        interrupted: whether this process was asked to stop. Then the step also has the number of replicas whose
            process was, for several workers to stop after the same step.

    Returns:
        A function of one step's parts (those of this process's replicas) to scalars.
    """

    @tf.function(reduce_retracing=True, autograph=False)  # nothing to convert, and looking for it takes time
    def step(parts: Any) -> dict[str, Any]:
        batch = {name: part for name, part in parts.items() if name != INTERRUPTED}
        shares = strategy.run(replica_step, args=(batch,))
        shares |= {name: part for name, part in parts.items() if name == INTERRUPTED}
        return {name: strategy.reduce("SUM", share, axis=None) for name, share in shares.items()}

    first = local_replicas(strategy)[0]

    def run(parts: Sequence[Batch]) -> dict[str, Any]:
        flag = {} if interrupted is None else {INTERRUPTED: tf.constant(float(interrupted()))}

        def part(context: Any) -> dict[str, Any]:
            chosen = parts[context.replica_id_in_sync_group - first]
            return {name: tf.convert_to_tensor(array) for name, array in chosen.items()} | flag

        if strategy.num_replicas_in_sync == 1:
            return step({name: tf.convert_to_tensor(array) for name, array in parts[0].items()} | flag)
        return step(strategy.experimental_distribute_values_from_function(part))

    return run


def run_epochs(
    step: Step,
    batches: Batches,
    *,
    epochs: int,
    position: Position | None = None,
    replicas: Sequence[int] | None = None,
    actions: Sequence[Action] = (),
    watches: Sequence[Watch] = (),
    observer: Observer | None = None,
    around: Around | None = None,
) -> None:
    """Trains until the last epoch, or until an action says stop.

    Args:
        step: made by `distributed_step`.
        batches: draws the steps; the next ones are drawn on a thread of their own meanwhile.
        epochs: the number to end after, counted from 0 and not from the position's.
        position: where to begin; left out, at the start.
        replicas: see `Batches.epoch`.
        actions: called in order after each epoch; training stops after the epoch in which one returns true.
        watches: called in order after each step, and once more after an epoch's actions. One that raises ends training.
        observer: told how training stands.
        around: makes what each step runs in, from the steps done before it; for a profiler.

    Raises:
        FloatingPointError: if a loss is no longer finite.
    """
    began = time.perf_counter()
    position = position or Position()
    while position.epoch < epochs and not position.ended:
        moment = Moment(batches, position, epochs=epochs, began=began)
        _run_epoch(step, batches, moment, replicas, watches, observer, around or _nothing_around)
        report = moment.report()
        if observer is not None:
            observer(report)
        wishes = [action(report) for action in actions]  # each acts, even where an earlier one says stop
        moment.between, moment.ended = True, any(wishes) or report.epoch + 1 >= epochs
        for watch in watches:
            watch(moment)
        position = moment.position()


def _run_epoch(
    step: Step,
    batches: Batches,
    moment: Moment,
    replicas: Sequence[int] | None,
    watches: Sequence[Watch],
    observer: Observer | None,
    around: Around,
) -> None:
    told = asked = time.perf_counter()
    for parts in prefetched(batches.epoch(moment.epoch, first_step=moment.step, replicas=replicas)):
        waited = time.perf_counter() - asked
        with around(moment.total_steps):
            losses = step(parts)
        moment.add(losses, parts, waited)
        if time.perf_counter() - told > _REPORT_SECONDS:
            report = moment.report()
            if observer is not None:
                observer(report)
            told = time.perf_counter()
        for watch in watches:
            watch(moment)
        asked = time.perf_counter()


def _nothing_around(number: int) -> AbstractContextManager[object]:
    return nullcontext()


__all__ = ["Batches", "Moment", "Position", "StepReport", "distributed_step", "run_epochs"]
