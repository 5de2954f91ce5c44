"""A training under way: what the loop asks of batches, where it stands, and what it tells."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tfdvbpr.data.batches.source import Batch

INTERRUPTED = "interrupted"
# The answer of so many steps ago is there without waiting for the device.
_LAG = 2
_IDS_SHOWN = 8


class Batches(Protocol):
    """Something that draws the steps of an epoch, a part a replica.

    One that estimates something as an epoch begins also has `state()`, a dict of arrays, and `load_state(state)`, which
    is called before an epoch is taken up at a later step than its first.
    """

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
        images_per_second: pictures through the network, over all replicas, in what this process did of the epoch.
        seconds: since this process began to train.
        epoch_seconds: since this process began with the epoch.
        input_seconds: of these, waited for pictures to be read.
    """

    epoch: int
    step: int
    num_steps: int
    losses: Mapping[str, float]
    images_per_second: float
    seconds: float
    epoch_seconds: float = 0.0
    input_seconds: float = 0.0

    @property
    def input_wait(self) -> float:
        """Part of the epoch's time that was waited for input, 0..1."""
        return self.input_seconds / self.epoch_seconds if self.epoch_seconds else 0.0


@dataclass(frozen=True)
class Position:
    """Where a training is taken up.

    Attributes:
        epoch: from 0.
        step: steps of the epoch that are done.
        sums: of each loss over these steps.
        ended: whether nothing is left to do.
    """

    epoch: int = 0
    step: int = 0
    sums: Mapping[str, float] = field(default_factory=dict)
    ended: bool = False


class Moment:
    """A training under way, after a step or, with `between`, after an epoch and its actions.

    Attributes:
        epoch: from 0.
        step: steps of the epoch that are done.
        between: whether the epoch is over and its actions have run.
        ended: whether training ends with it.
    """

    def __init__(self, batches: Batches, position: Position, *, epochs: int, began: float) -> None:
        self.epoch, self.step = position.epoch, position.step
        self.between = self.ended = False
        self._steps_per_epoch = batches.steps_per_epoch
        self._images_per_step = batches.images_per_step
        self._num_steps = epochs * batches.steps_per_epoch
        self._sums = dict(position.sums)
        self._began, self._epoch_began = began, time.perf_counter()
        self._first_step = position.step
        self._waited = 0.0
        self._last: dict[str, Any] = {}
        self._pending: list[tuple[dict[str, Any], Sequence[Batch]]] = []
        self._flags: deque[Any] = deque()

    @property
    def total_steps(self) -> int:
        """Steps done in all, over every epoch."""
        return self.epoch * self._steps_per_epoch + self.step

    @property
    def at_end(self) -> bool:
        """Whether every step of the epoch is done."""
        return self.step >= self._steps_per_epoch

    @property
    def input_wait(self) -> float:
        """Part of the epoch's time that was waited for input, 0..1."""
        return self._waited / max(time.perf_counter() - self._epoch_began, 1e-9)

    def add(self, losses: dict[str, Any], parts: Sequence[Batch], waited: float) -> None:
        """Counts a step that was started; what it computes is not waited for."""
        if INTERRUPTED in losses:
            self._flags.append(losses.pop(INTERRUPTED))
        self._last = losses
        self._pending.append((losses, [_ids(part) for part in parts]))
        self.step += 1
        self._waited += waited

    def interrupted(self) -> bool:
        """Whether a worker was asked to stop, as every worker learns after the same step: some steps later."""
        asked = False
        while len(self._flags) > (0 if self.at_end else _LAG):
            asked = float(self._flags.popleft()) > 0 or asked
        return asked

    def losses(self) -> dict[str, float]:
        """Those of the last step; waits for it."""
        return {name: float(value) for name, value in self._last.items()}

    def settle(self) -> None:
        """Waits for the steps so far and looks at their losses.

        Raises:
            FloatingPointError: if one is not finite, with its batch.
        """
        first = self.step - len(self._pending)
        for number, (losses, parts) in enumerate(self._pending, first):
            for name, value in losses.items():
                loss = float(value)
                if not np.isfinite(loss):
                    raise FloatingPointError(self._not_finite(name, loss, number, parts))
                self._sums[name] = self._sums.get(name, 0.0) + loss
        self._pending.clear()

    def _not_finite(self, name: str, value: float, step: int, parts: Sequence[Batch]) -> str:
        return (
            f"`{name}` must stay finite. It is {value} in epoch {self.epoch + 1}, step {step + 1} of "
            f"{self._steps_per_epoch} ({self.epoch * self._steps_per_epoch + step + 1} in all), on {_shown(parts)}. "
            "Lower the learning rate, or set clip_norm."
        )

    def position(self) -> Position:
        """Where to take training up after it."""
        if self.between:
            return Position(self.epoch + 1, 0, {}, self.ended)
        self.settle()
        return Position(self.epoch, self.step, dict(self._sums))

    def report(self) -> StepReport:
        """How training stands."""
        self.settle()
        now = time.perf_counter()
        spent = now - self._epoch_began
        speed = (self.step - self._first_step) * self._images_per_step / spent
        means = {name: value / self.step for name, value in self._sums.items()}
        since = now - self._began
        return StepReport(self.epoch, self.total_steps, self._num_steps, means, speed, since, spent, self._waited)


def _ids(part: Batch) -> Batch:
    return {name: array for name, array in part.items() if name.endswith("_ids")}


def _shown(parts: Sequence[Batch]) -> str:
    """The first ids of a batch, for people."""
    told = []
    for name in parts[0]:
        rows = np.unique(np.concatenate([part[name].ravel() for part in parts]))
        more = f" and {len(rows) - _IDS_SHOWN} more" if len(rows) > _IDS_SHOWN else ""
        told.append(f"{name} {', '.join(map(str, rows[:_IDS_SHOWN]))}{more}")
    return "; ".join(told) or "a batch without ids"
