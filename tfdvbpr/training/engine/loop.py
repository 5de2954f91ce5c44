"""The training loop, and the only `strategy.run` in the project."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from tfdvbpr.data.batches.source import Batch
from tfdvbpr.training.distributed.strategy import local_replicas

ReplicaStep = Callable[[Mapping[str, Any]], dict[str, Any]]
Step = Callable[[Sequence[Batch]], dict[str, Any]]

_INTERRUPTED = "interrupted"
# Reading a loss waits for the device, which would then be idle until the next step is launched.
_LOGS_SECONDS = 0.5
# The interrupt flag of so many steps ago is there without waiting for the device.
_LAG = 2
_PREFETCH = 3
_IDS_SHOWN = 8


class Batches(Protocol):
    """The batches of a training, a part for each replica.

    One that estimates something at the beginning of an epoch also has `state()`, a dict of arrays, and
    `load_state(state)`, which is called before an epoch is continued at a later step than its first.
    """

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch."""

    @property
    def images_per_step(self) -> int:
        """Images a step over all replicas, for the speed."""

    def epoch(self, epoch: int, *, first_step: int = 0, replicas: Sequence[int] | None = None) -> Iterator[list[Batch]]:
        """The steps from `first_step`; a part for each of `replicas`, in their order, or for all of them.

        A step is a function of (seed, epoch, step) alone. Ids are sampled for the whole global batch, images are read
        for the wanted replicas only.
        """


class Trainer(Protocol):
    """A model under training."""

    @property
    def model(self) -> keras.Model:
        """The model that callbacks get."""

    @property
    def batches(self) -> Batches:
        """The batches of each step."""

    def trackables(self) -> dict[str, Any]:
        """What a checkpoint holds: models, optimizers and variables by name."""

    def replica_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """One replica's part of a step."""


class TrainingProgress:
    """How a training stands since `began`, of `time.perf_counter()`. Callbacks find it in `self.params["progress"]`.

    Attributes:
        epoch: from 0; in `on_epoch_end` the epoch that ends.
        step: steps of the epoch that are done.
        epoch_ended: whether every step of the epoch is done and its losses are known, as in `on_epoch_end`.
        ended: whether training has ended.
        interrupted: whether a worker received a signal; all workers learn it after the same step.
    """

    def __init__(self, batches: Batches, *, epochs: int, began: float | None = None) -> None:
        self.batches, self.epochs = batches, epochs
        self.epoch = self.step = 0
        self.epoch_ended = self.ended = self.interrupted = False
        self._began = time.perf_counter() if began is None else began
        self._epoch_began = self._read_at = self._began
        self._seconds_before = self._waited = 0.0
        self._first_step = 0
        self._sums: dict[str, float] = {}
        self._last: dict[str, Any] = {}
        self._pending: list[tuple[dict[str, Any], Sequence[Batch]]] = []
        self._flags: deque[Any] = deque()

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch."""
        return self.batches.steps_per_epoch

    @property
    def total_steps(self) -> int:
        """Steps done in all, over every epoch."""
        return self.epoch * self.steps_per_epoch + self.step

    @property
    def seconds(self) -> float:
        """Seconds of training, with those before an interruption."""
        return self._seconds_before + time.perf_counter() - self._began

    @property
    def images_per_second(self) -> float:
        """Images through the network, over all replicas, in what this process did of the epoch."""
        spent = max(time.perf_counter() - self._epoch_began, 1e-9)
        return (self.step - self._first_step) * self.batches.images_per_step / spent

    @property
    def input_wait(self) -> float:
        """Part of the epoch's time that was spent waiting for input, 0..1."""
        return self._waited / max(time.perf_counter() - self._epoch_began, 1e-9)

    def begin_epoch(self) -> None:
        """Begins an epoch, or continues one."""
        self._epoch_began = time.perf_counter()
        self._waited, self._first_step = 0.0, self.step

    def add(self, losses: dict[str, Any], parts: Sequence[Batch], *, waited: float) -> None:
        """Counts a step that was launched; its losses are read later."""
        if _INTERRUPTED in losses:
            self._flags.append(losses.pop(_INTERRUPTED))
        self._last = losses
        self._pending.append((losses, [_ids(part) for part in parts]))
        self.step += 1
        self._waited += waited
        while len(self._flags) > (0 if self.step >= self.steps_per_epoch else _LAG):
            self.interrupted = float(self._flags.popleft()) > 0 or self.interrupted
        if not self._sums or time.perf_counter() - self._read_at > _LOGS_SECONDS:
            self.read_losses()

    def end_epoch(self, *, stop: bool = False) -> None:
        """Goes to the next epoch, or ends training after the last one or if `stop` is true."""
        self.ended = stop or self.epoch + 1 >= self.epochs
        self.epoch, self.step, self.epoch_ended = self.epoch + 1, 0, False
        self._sums = {}

    def read_losses(self) -> None:
        """Waits for the steps so far and reads their losses.

        Raises:
            FloatingPointError: if one is not finite, with its batch.
        """
        first = self.step - len(self._pending)
        for number, (losses, parts) in enumerate(self._pending, first):
            for name, value in losses.items():
                loss = float(value)
                if not np.isfinite(loss):
                    raise FloatingPointError(
                        f"`{name}` must stay finite. It is {loss} in epoch {self.epoch + 1}, step {number + 1} of "
                        f"{self.steps_per_epoch} ({self.epoch * self.steps_per_epoch + number + 1} in all), on "
                        f"{_shown(parts)}. Lower the learning rate."
                    )
                self._sums[name] = self._sums.get(name, 0.0) + loss
        self._pending.clear()
        self._read_at = time.perf_counter()

    def last_losses(self) -> dict[str, float]:
        """The losses of the last step; waits for it."""
        return {name: float(value) for name, value in self._last.items()}

    def losses(self) -> dict[str, float]:
        """The mean of each loss over the steps of the epoch that were read, see `read_losses`."""
        steps = self.step - len(self._pending)
        return {name: value / steps for name, value in self._sums.items()}

    def logs(self) -> dict[str, float]:
        """What callbacks get: `losses()` and `images_per_second`."""
        return {**self.losses(), "images_per_second": self.images_per_second}

    def state(self, *, stop: bool = False) -> dict[str, Any]:
        """Plain values to continue from; waits for the steps so far. `stop`: training ends with the ended epoch."""
        if self.epoch_ended:
            ended = stop or self.epoch + 1 >= self.epochs
            return {"epoch": self.epoch + 1, "step": 0, "sums": {}, "ended": ended, "seconds": self.seconds}
        self.read_losses()
        position = {"epoch": self.epoch, "step": self.step, "sums": dict(self._sums), "ended": self.ended}
        return {**position, "seconds": self.seconds}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a state."""
        self.epoch, self.step, self.ended = state["epoch"], state["step"], state["ended"]
        self._sums = dict(state["sums"])
        self._seconds_before = float(state["seconds"])


def distributed_step(
    strategy: Any, replica_step: ReplicaStep, *, interrupted: Callable[[], bool] | None = None
) -> Step:
    """Compiles one step over all replicas.

    Args:
        replica_step: from one replica's part of a batch to its summand of each loss; they are summed over the replicas.
        interrupted: whether this process received a signal. Then the step also has the number of replicas whose process
            did, so that several workers stop after the same step.

    Returns:
        A function of one step's parts (those of this process's replicas) to scalars.
    """

    @tf.function(reduce_retracing=True, autograph=False)  # nothing to convert, and looking for it takes time
    def step(parts: Any) -> dict[str, Any]:
        batch = {name: part for name, part in parts.items() if name != _INTERRUPTED}
        summands = strategy.run(replica_step, args=(batch,))
        summands |= {name: part for name, part in parts.items() if name == _INTERRUPTED}
        return {name: strategy.reduce("SUM", summand, axis=None) for name, summand in summands.items()}

    first = local_replicas(strategy)[0]

    def run(parts: Sequence[Batch]) -> dict[str, Any]:
        flag = {} if interrupted is None else {_INTERRUPTED: tf.constant(float(interrupted()))}

        def part(context: Any) -> dict[str, Any]:
            chosen = parts[context.replica_id_in_sync_group - first]
            return {name: tf.convert_to_tensor(array) for name, array in chosen.items()} | flag

        if strategy.num_replicas_in_sync == 1:
            return step({name: tf.convert_to_tensor(array) for name, array in parts[0].items()} | flag)
        return step(strategy.experimental_distribute_values_from_function(part))

    return run


def run_epochs(
    step: Step,
    progress: TrainingProgress,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    model: keras.Model | None = None,
    replicas: Sequence[int] | None = None,
) -> None:
    """Trains until the last epoch, or until a callback sets `model.stop_training`, which is read after each epoch.

    Callbacks are called as `keras.Model.fit` calls them, in order, through a `keras.callbacks.CallbackList`. The logs
    of `on_epoch_end` are the means of the losses over the epoch and `images_per_second`; a callback may add to them for
    those after it. The logs of `on_train_batch_end` are means over the steps whose losses are known; losses are read
    about twice a second, since reading them waits for the device.

    Args:
        progress: where to begin; its batches are prepared on a thread of their own, a few steps ahead.
        callbacks: their `params` are `epochs`, `steps`, `verbose` (0) and `progress`.
        replicas: see `Batches.epoch`.

    Raises:
        FloatingPointError: if a loss is no longer finite.
    """
    steps = progress.steps_per_epoch
    params = {"epochs": progress.epochs, "steps": steps, "verbose": 0, "progress": progress}
    listeners = keras.callbacks.CallbackList(list(callbacks), model=model, **params)
    if model is not None:
        model.stop_training = False
        model.optimizer = None  # what a model that is not compiled lacks, and Keras's callbacks read
    listeners.on_train_begin()
    logs: dict[str, float] = {}
    while not progress.ended:
        listeners.on_epoch_begin(progress.epoch)
        progress.begin_epoch()
        began_waiting = time.perf_counter()
        for parts in prefetched(progress.batches.epoch(progress.epoch, first_step=progress.step, replicas=replicas)):
            waited = time.perf_counter() - began_waiting
            number = progress.step
            listeners.on_train_batch_begin(number)
            progress.add(step(parts), parts, waited=waited)
            listeners.on_train_batch_end(number, progress.logs())
            began_waiting = time.perf_counter()
        progress.read_losses()
        progress.epoch_ended = True
        logs = progress.logs()
        listeners.on_epoch_end(progress.epoch, logs)
        progress.end_epoch(stop=model is not None and bool(model.stop_training))
    listeners.on_train_end(logs)


def prefetched(steps: Iterator[list[Batch]]) -> Iterator[list[Batch]]:
    """Prepares the next steps on a thread; NumPy and JPEG decoding release Python's lock."""
    ready: queue.Queue[list[Batch] | BaseException | None] = queue.Queue(maxsize=_PREFETCH)
    stopped = threading.Event()

    def put(value: list[Batch] | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                ready.put(value, timeout=0.1)
                break
            except queue.Full:
                continue

    def prepare() -> None:
        try:
            for parts in steps:
                put(parts)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    threading.Thread(target=prepare, daemon=True).start()
    try:
        while (parts := ready.get()) is not None:
            if isinstance(parts, BaseException):
                raise parts
            yield parts
    finally:
        stopped.set()


def _ids(part: Batch) -> Batch:
    return {name: array for name, array in part.items() if name.endswith("_ids")}


def _shown(parts: Sequence[Batch]) -> str:
    """The first ids of a batch, for an error."""
    shown = []
    for name in parts[0]:
        rows = np.unique(np.concatenate([part[name].ravel() for part in parts]))
        more = f" and {len(rows) - _IDS_SHOWN} more" if len(rows) > _IDS_SHOWN else ""
        shown.append(f"{name} {', '.join(map(str, rows[:_IDS_SHOWN]))}{more}")
    return "; ".join(shown) or "a batch without ids"
