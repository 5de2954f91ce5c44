"""What happens between epochs: plain callables given to the loop. They return true to stop training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import polars as pl

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.errors import check_choice
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.training.checkpoints.file import Saved, parse, read_bytes, write_saved
from tfdvbpr.training.checkpoints.manager import BEST
from tfdvbpr.training.checkpoints.state import assign, values
from tfdvbpr.training.engine.loop import StepReport

Share = Callable[[Callable[[], bytes]], bytes]


@dataclass
class History:
    """One row an epoch: losses, speed, and validation figures where they were taken. An action by itself."""

    rows: list[dict[str, float]] = field(default_factory=list)

    def __call__(self, report: StepReport) -> bool:
        """Adds the row of an epoch; never stops training."""
        self.add(report)
        return False

    def add(self, report: StepReport, figures: Mapping[str, float] | None = None) -> None:
        """Adds the row of an epoch."""
        row = {"epoch": float(report.epoch), "step": float(report.step), **report.losses}
        row["images_per_second"] = round(report.images_per_second, 1)
        row["seconds"] = round(report.seconds, 1)
        row.update({f"validation_{name}": value for name, value in (figures or {}).items()})
        self.rows.append(row)

    def state(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The rows of an interrupted training, as they stood at its checkpoint."""
        self.rows[:] = state["rows"]

    def table(self) -> pl.DataFrame:
        """The rows as a table; cells that were not measured are null."""
        return pl.DataFrame(self.rows, infer_schema_length=None) if self.rows else pl.DataFrame({"epoch": []})


class KeepBest:
    """Looks at validation now and then, and keeps the weights and factors that did best there.

    Args:
        variables: the model's, as `state.variables` names them.
        factors: its factors as they are now.
        validate: figures of factors, among them `config.stop_metric`; None keeps the last weights.
        config: `evaluate_every`, `stop_metric`, `patience` and `epochs`.
        folder: where the best is kept meanwhile; None on a worker that is not the chief.
        averaged: puts the weights' moving averages in their place for a while.
        agreed: the chief's number, on every worker, that training ends after the same epoch everywhere.
        share: has the chief make bytes that every worker then gets.
        told: takes a line for people after each look.
    """

    def __init__(
        self,
        variables: Mapping[str, Any],
        factors: Callable[[], Factors],
        validate: Callable[[Factors], Mapping[str, float]] | None,
        config: RecommenderConfig,
        folder: Path | None,
        *,
        averaged: Callable[[], AbstractContextManager[object]] = nullcontext,
        agreed: Callable[[int], int] = int,
        share: Share = lambda make: make(),
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._variables = variables
        self._factors = factors
        self._validate = validate
        self._config = config
        self._folder = folder
        self._averaged = averaged
        self._agreed = agreed
        self._share = share
        self._told = told
        self.history = History()
        self._best: float | None = None
        self._looks_since_best = 0
        self._file: str | None = None

    def __call__(self, report: StepReport) -> bool:
        """Called by the loop after each epoch."""
        stop = False
        figures = None
        last = report.epoch + 1 >= self._config.epochs
        if self._validate is not None and (last or (report.epoch + 1) % self._config.evaluate_every == 0):
            with self._averaged():
                factors = self._factors()
                figures = dict(self._validate(factors))
                stop = self._look(figures, factors, report.step)
            shown = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
            self._told(f"epoch {report.epoch + 1}/{self._config.epochs}: validation {shown}")
        self.history.add(report, figures)
        return stop

    def _look(self, figures: Mapping[str, float], factors: Factors, step: int) -> bool:
        name = self._config.stop_metric
        check_choice("stop_metric", name, figures)
        better = bool(self._agreed(int(self._best is None or figures[name] > self._best)))
        self._looks_since_best = 0 if better else self._looks_since_best + 1
        if better:
            self._best = figures[name]
            if self._folder is not None:
                found = {name.name: getattr(factors, name.name) for name in fields(factors)}
                arrays = {f"factors/{name}": array for name, array in found.items() if array is not None}
                saved = Saved({**values(self._variables), **arrays}, {})
                self._file = write_saved(self._folder, BEST, step, saved).name
        return 0 < self._config.patience <= self._looks_since_best

    def state(self) -> dict[str, Any]:
        """The best so far, its file, and what was seen since."""
        own = {"best": self._best, "looks_since_best": self._looks_since_best}
        return {**own, **self.history.state(), "files": [] if self._file is None else [self._file]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from what an interrupted training had seen at its checkpoint."""
        self._best, self._looks_since_best = state["best"], state["looks_since_best"]
        self._file = next(iter(state["files"]), None)
        self.history.load_state(state)

    def best_factors(self) -> Factors:
        """Puts the best weights back into the model, the chief's on every worker, and returns their factors."""
        if self._best is None:
            with self._averaged():
                factors, kept = self._factors(), values(self._variables)
            assign(self._variables, kept)
            return factors
        arrays = parse(self._share(self._read_best)).arrays
        assign(self._variables, arrays)
        return Factors(**{name[8:]: array for name, array in arrays.items() if name.startswith("factors/")})

    def _read_best(self) -> bytes:
        assert self._folder is not None
        assert self._file is not None
        return read_bytes(self._folder / self._file)
