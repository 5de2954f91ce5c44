"""Callbacks of every training: its log and history, and the weights that are best on validation."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

import keras
import polars as pl

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.training.checkpoints.file import BEST, Saved, assign, parse, read_bytes, values, variables, write_saved
from tfdvbpr.training.distributed.strategy import broadcast_bytes, broadcast_number
from tfdvbpr.training.engine.loop import Trainer, TrainingProgress

LOG_NAME = "log.jsonl"
LOG_STEPS = 50

Validate = Callable[[Factors], Mapping[str, float]]

_log = logging.getLogger(__name__)


class TrainingCallback(keras.callbacks.Callback):
    """A callback that knows how training stands, and whose state is kept in checkpoints.

    Names of checkpoint files that it needs stand under "files" of its state.
    """

    @property
    def progress(self) -> TrainingProgress:
        """How training stands."""
        progress: TrainingProgress = self.params["progress"]
        return progress

    def state(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a state; called before `on_train_begin`."""


class RowWriter(TrainingCallback):
    """Writes a row every `LOG_STEPS` steps with the losses of that step, and one an epoch with the epoch's logs."""

    def __init__(self, learning_rates: Callable[[], Mapping[str, float]] = dict) -> None:
        super().__init__()
        self._learning_rates = learning_rates

    def write(self, row: Mapping[str, Any]) -> None:
        """Writes a row: its `kind` ("step" or "epoch"), `epoch` from 0, `step` in all, losses and speeds."""
        raise NotImplementedError

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes a row if one is due."""
        if self.progress.total_steps % LOG_STEPS == 0:
            self.write({"kind": "step", "epoch": self.progress.epoch, **self.progress.last_losses(), **self._common()})

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes the epoch's row."""
        self.write({"kind": "epoch", "epoch": epoch, **(logs or {}), **self._common()})

    def _common(self) -> dict[str, Any]:
        return {
            "step": self.progress.total_steps,
            **{f"{name}_learning_rate": rate for name, rate in self._learning_rates().items()},
            "input_wait": round(self.progress.input_wait, 4),
            "seconds": round(self.progress.seconds, 2),
        }


class Journal(RowWriter):
    """Writes `log.jsonl`, a JSON object a line, and keeps the run's history, one row an epoch."""

    def __init__(self, path: Path | None, learning_rates: Callable[[], Mapping[str, float]] = dict) -> None:
        super().__init__(learning_rates)
        self._path = path
        self._rows: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Adds the epoch to the history, and writes its row."""
        progress, logs = self.progress, logs or {}
        row = {"epoch": float(epoch), "step": float(progress.total_steps), **progress.losses()}
        row |= {"images_per_second": round(logs["images_per_second"], 1), "seconds": round(progress.seconds, 1)}
        row |= {name: value for name, value in logs.items() if name not in row}
        self._rows.append(row)
        super().on_epoch_end(epoch, row)

    def write(self, row: Mapping[str, Any]) -> None:
        """Appends a line; a number that is not finite becomes null."""
        if self._path is None:
            return
        plain = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in row.items()
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain) + "\n")

    def history(self) -> pl.DataFrame:
        """One row an epoch: losses, speed, and validation metrics, null where they were not computed."""
        return pl.DataFrame(self._rows, infer_schema_length=None) if self._rows else pl.DataFrame({"epoch": []})

    def state(self) -> dict[str, Any]:
        """The history, and the length of the file."""
        size = self._path.stat().st_size if self._path is not None and self._path.is_file() else 0
        return {"rows": self._rows, "bytes": size}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Cuts off the lines that came after the checkpoint and will come again."""
        self._rows[:] = state["rows"]
        if self._path is not None and self._path.is_file():
            with self._path.open("r+b") as file:
                file.truncate(min(state["bytes"], self._path.stat().st_size))


class EvaluatedTrainer(Trainer, Protocol):
    """A trainer whose factors can be validated."""

    def factors(self) -> Factors:
        """Every user's and item's embedding now."""


class BestWeights(TrainingCallback):
    """Validates every few epochs, keeps the best weights and factors, and stops training after `patience` worse ones.

    Adds the metrics to the epoch's logs as `validation_...`. The chief's comparison counts on every worker.

    Args:
        validate: metrics of factors, among them `config.stop_metric`, which is compared; None keeps the last weights.
        folder: where the best weights are kept meanwhile; None on a worker that is not the chief.
    """

    def __init__(
        self,
        trainer: EvaluatedTrainer,
        validate: Validate | None,
        config: RecommenderConfig,
        folder: Path | None,
        strategy: Any,
    ) -> None:
        super().__init__()
        self._trainer, self._validate, self._config = trainer, validate, config
        self._folder, self._strategy = folder, strategy
        self._variables = variables({"model": trainer.model})
        self._best: float | None = None
        self._validations_since_best = 0
        self._file: str | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Validates if it is due."""
        epochs, every = self._config.epochs, self._config.evaluate_every
        if self._validate is None or (epoch + 1 < epochs and (epoch + 1) % every):
            return
        factors = self._trainer.factors()
        metrics = dict(self._validate(factors))
        self._compare(self._stop_value(metrics), factors)
        shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        _log.info("epoch %d/%d: validation %s", epoch + 1, epochs, shown)
        if logs is not None:
            logs |= {f"validation_{name}": value for name, value in metrics.items()}

    def _stop_value(self, metrics: Mapping[str, float]) -> float:
        name = self._config.stop_metric
        if name not in metrics:
            raise ConfigError(
                f"`stop_metric` must be a metric that validation has. No validation user has a value of {name}. "
                "Set stop_metric=auc."
            )
        return metrics[name]

    def _compare(self, value: float, factors: Factors) -> None:
        better = bool(broadcast_number(self._strategy, int(self._best is None or value > self._best)))
        self._validations_since_best = 0 if better else self._validations_since_best + 1
        if better:
            self._best = value
            if self._folder is not None:
                found = {field.name: getattr(factors, field.name) for field in fields(factors)}
                arrays = {f"factors/{name}": array for name, array in found.items() if array is not None}
                saved = Saved({**values(self._variables), **arrays}, {})
                self._file = write_saved(self._folder, BEST, self.progress.total_steps, saved).name
        if 0 < self._config.patience <= self._validations_since_best:
            self.model.stop_training = True

    def state(self) -> dict[str, Any]:
        """The best metric so far, its file, and the number of validations since."""
        own = {"best": self._best, "validations_since_best": self._validations_since_best}
        return {**own, "files": [] if self._file is None else [self._file]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from the best so far."""
        self._best, self._validations_since_best = state["best"], state["validations_since_best"]
        self._file = next(iter(state["files"]), None)

    def restore_best(self) -> Factors:
        """Puts the best weights back into the model, the chief's on every worker, and returns their factors."""
        if self._best is None:
            return self._trainer.factors()
        arrays = parse(broadcast_bytes(self._strategy, self._read_best)).arrays
        assign(self._variables, arrays)
        return Factors(**{name[8:]: array for name, array in arrays.items() if name.startswith("factors/")})

    def _read_best(self) -> bytes:
        assert self._folder is not None
        assert self._file is not None
        return read_bytes(self._folder / self._file)
