"""What happened, a JSON object a line: `log.jsonl` needs no viewer. TensorBoard gets the same rows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfdvbpr.training.engine.actions import History
from tfdvbpr.training.engine.loop import Moment

LOG_NAME = "log.jsonl"
Row = Mapping[str, Any]


class Journal:
    """A row each so many steps with the losses of that step, and one an epoch with the history's.

    Args:
        path: the file; None on a worker that is not the chief.
        history: whose newest row is an epoch's.
        log_steps: steps between rows; 0 for one an epoch alone.
        rates: step sizes as they are now, by name.
        seconds: of training so far, with those before an interruption.
        sinks: also take each row.
    """

    def __init__(
        self,
        path: Path | None,
        history: History,
        *,
        log_steps: int,
        rates: Callable[[], Mapping[str, float]] = dict,
        seconds: Callable[[], float] = lambda: 0.0,
        sinks: Sequence[Callable[[Row], None]] = (),
    ) -> None:
        self._path = path
        self._history = history
        self._log_steps = log_steps
        self._rates = rates
        self._seconds = seconds
        self._sinks = sinks

    def watch(self, moment: Moment) -> None:
        """Called by the loop after each step, and once more after an epoch."""
        if self._path is None:
            return
        if moment.between:
            self._add({"kind": "epoch", **self._history.rows[-1], **self._common(moment)})
        elif self._log_steps and moment.total_steps % self._log_steps == 0:
            self._add({"kind": "step", "epoch": moment.epoch, **moment.losses(), **self._common(moment)})

    def _common(self, moment: Moment) -> dict[str, Any]:
        wait = moment.input_wait
        return {
            "step": moment.total_steps,
            **{f"{name}_learning_rate": rate for name, rate in self._rates().items()},
            "input_wait": round(wait, 4),
            "seconds": round(self._seconds(), 2),
        }

    def _add(self, row: dict[str, Any]) -> None:
        assert self._path is not None
        plain = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in row.items()
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain) + "\n")
        for sink in self._sinks:
            sink(row)

    def state(self) -> dict[str, Any]:
        """How much of the file there is."""
        there = self._path is not None and self._path.is_file()
        return {"bytes": self._path.stat().st_size if there and self._path is not None else 0}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Forgets what came after the checkpoint and will come again."""
        if self._path is not None and self._path.is_file():
            with self._path.open("r+b") as file:
                file.truncate(min(state["bytes"], self._path.stat().st_size))
