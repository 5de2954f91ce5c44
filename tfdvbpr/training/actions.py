"""What happens between epochs: plain callables given to the loop. They return true to stop training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.files import write_text
from tfdvbpr.models.factors import Factors
from tfdvbpr.training.loop import StepReport

_BEST_WEIGHTS = "best.weights.h5"
_BEST_FACTORS = "best.npz"
_HISTORY = "history.json"


@dataclass
class History:
    """One row an epoch: losses, speed, and validation figures where they were taken."""

    rows: list[dict[str, float]] = field(default_factory=list)

    def add(self, report: StepReport, figures: Mapping[str, float] | None = None) -> None:
        """Adds the row of an epoch."""
        row = {"epoch": float(report.epoch), "step": float(report.step), **report.losses}
        row["images_per_second"] = round(report.images_per_second, 1)
        row["seconds"] = round(report.seconds, 1)
        row.update({f"validation_{name}": value for name, value in (figures or {}).items()})
        self.rows.append(row)

    def write(self, folder: Path) -> None:
        """Keeps the rows for a training that is interrupted."""
        write_text(folder / _HISTORY, json.dumps(self.rows))

    @classmethod
    def read(cls, folder: Path, *, first_epoch: int) -> History:
        """What an interrupted training saw before `first_epoch`; what it saw later will be seen again."""
        path = folder / _HISTORY
        rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        return cls([row for row in rows if row["epoch"] < first_epoch])

    def table(self) -> pl.DataFrame:
        """The rows as a table; cells that were not measured are null."""
        return pl.DataFrame(self.rows, infer_schema_length=None) if self.rows else pl.DataFrame({"epoch": []})


class KeepBest:
    """Looks at validation now and then, and keeps the weights and factors that did best there.

    Args:
        model: whose weights are kept.
        factors: its factors as they are now.
        validate: figures of factors, among them "auc"; None keeps the last weights.
        config: `evaluate_every`, `patience` and `epochs`.
        folder: where the best is kept meanwhile; what an interrupted training left there is taken up.
        first_epoch: the epoch training begins with.
        told: takes a line for people after each look.
    """

    def __init__(
        self,
        model: Any,
        factors: Callable[[], Factors],
        validate: Callable[[Factors], Mapping[str, float]] | None,
        config: RecommenderConfig,
        folder: Path,
        *,
        first_epoch: int = 0,
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._model = model
        self._factors = factors
        self._validate = validate
        self._config = config
        self._folder = folder
        self._told = told
        self.history = History.read(folder, first_epoch=first_epoch)
        self._best = float("-inf")
        self._looks_since_best = 0
        for row in self.history.rows:
            if "validation_auc" in row:
                self._count(row["validation_auc"])

    def __call__(self, report: StepReport) -> bool:
        """Called by the loop after each epoch."""
        stop = False
        figures = None
        last = report.epoch + 1 >= self._config.epochs
        if self._validate is not None and (last or (report.epoch + 1) % self._config.evaluate_every == 0):
            factors = self._factors()
            figures = dict(self._validate(factors))
            stop = self._look(figures["auc"], factors)
            shown = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
            self._told(f"epoch {report.epoch + 1}/{self._config.epochs}: validation {shown}")
        self.history.add(report, figures)
        self.history.write(self._folder)
        return stop

    def _look(self, auc: float, factors: Factors) -> bool:
        if self._count(auc):
            self._model.save_weights(self._folder / _BEST_WEIGHTS)
            factors.write(self._folder / _BEST_FACTORS)
        return 0 < self._config.patience <= self._looks_since_best

    def _count(self, auc: float) -> bool:
        """Whether this look is the best so far."""
        better = auc > self._best
        self._best = max(auc, self._best)
        self._looks_since_best = 0 if better else self._looks_since_best + 1
        return better

    def best_factors(self) -> Factors:
        """Puts the best weights back into the model and returns their factors."""
        if self._best == float("-inf"):
            return self._factors()
        self._model.load_weights(self._folder / _BEST_WEIGHTS)
        return Factors.read(self._folder / _BEST_FACTORS)
