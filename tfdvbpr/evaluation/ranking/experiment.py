"""Trains several models with several seeds and small grids: tuned on validation, tested once, one table at the end.

Every cell of a grid is a run folder of its own, so that an interrupted experiment is resumed. Training is passed in by
the caller.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.config.yaml_text import load_yaml
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.evaluation.ranking.comparison import (
    DEFAULT_METRICS,
    Comparison,
    checked_metrics,
    compare_evaluations,
)
from tfdvbpr.evaluation.ranking.evaluate import Evaluation, compute_metrics, evaluate_run, mean_of
from tfdvbpr.evaluation.ranking.metrics import find_metric, metric_names
from tfdvbpr.models.recommenders import RECOMMENDERS, recommender_config
from tfdvbpr.run import Run
from tfdvbpr.run.folder import MANIFEST_NAME

RUNS_NAME = "runs"
BASE_CELL = "base"
_log = logging.getLogger(__name__)

Train = Callable[[PreparedDataset, RecommenderConfig, Path], Run]


class ModelPlan(BaseModel):
    """One row of the final table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[\w.+-][\w.+ -]*$", description="Label and name of the folder.")
    model: str = Field(description="A name in RECOMMENDERS.")
    config: dict[str, Any] = Field(default_factory=dict, description="Values that differ from the defaults.")
    grid: dict[str, list[Any]] = Field(default_factory=dict, description="Lists of values to try, by field.")

    @property
    def seeded(self) -> bool:
        """Whether another seed gives another model; popularity and VisRank have none."""
        return RECOMMENDERS[self.model].is_seeded

    def cells(self) -> list[dict[str, Any]]:
        """The values of every point of the grid, the first keys varying slowest."""
        return [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]

    def config_of(self, cell: Mapping[str, Any], *, seed: int) -> RecommenderConfig:
        """The configuration of a cell.

        Raises:
            ConfigError: if a field is unknown or a value out of range.
        """
        return recommender_config(self.model, **{**self.config, **cell, "seed": seed})

    @model_validator(mode="after")
    def _check(self) -> ModelPlan:
        if self.model not in RECOMMENDERS:
            raise ValueError(f"`model` must be one of {', '.join(RECOMMENDERS)}. Received {self.model!r}.")
        for field in ("seed", "model"):
            if field in self.config or field in self.grid:
                raise ValueError(f"`{field}` of {self.name} must stand outside `config` and `grid`. Move it.")
        empty = [key for key, values in self.grid.items() if not values]
        if empty:
            raise ValueError(f"`grid` of {self.name} must have values for {empty[0]}. Received none.")
        names = [cell_name(cell) for cell in self.cells()]
        if len(set(names)) != len(names):
            raise ValueError(f"`grid` of {self.name} must hold each value once, distinguished by letters and digits.")
        return self


class ExperimentPlan(BaseModel):
    """The file that `tfdvbpr experiment` reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = Field(description="A prepared dataset; a relative path is relative to the experiment's file.")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="The grid is tuned with the first.")
    models: tuple[ModelPlan, ...] = Field(min_length=1)
    tune_by: str = Field("auc", description="The validation metric by which a cell is chosen, such as auc or ndcg@10.")
    metrics: tuple[str, ...] = Field(DEFAULT_METRICS, min_length=1, description="Columns of the final table.")

    @model_validator(mode="after")
    def _check(self) -> ExperimentPlan:
        names = [model.name.casefold() for model in self.models]
        if len(set(names)) != len(names):
            raise ValueError(f"`models` must have different names. Received {', '.join(names)}.")
        if len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"`seeds` must be different and at least 0. Received {self.seeds}.")
        checked_metrics((self.tune_by, *self.metrics))
        for model in self.models:
            for cell in model.cells():
                model.config_of(cell, seed=self.seeds[0])
        return self


def read_plan(file: Path) -> ExperimentPlan:
    """Reads an experiment's file and checks it, with every cell of every grid.

    Raises:
        ConfigError: if it cannot be read or a value in it is wrong.
    """
    try:
        values = load_yaml(Path(file).read_text(encoding="utf-8"))
    except (OSError, ConfigError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"FILE must be the YAML file of an experiment. {file} cannot be read: {first}.") from None
    try:
        plan = ExperimentPlan.model_validate(values)
    except ValidationError as error:
        first_error = error.errors()[0]
        where = ".".join(map(str, first_error["loc"]))
        message = first_error["msg"].removeprefix("Value error, ").rstrip(".")
        raise ConfigError(f"{file} has a wrong value{f' at `{where}`' * bool(where)}: {message}.") from None
    return plan.model_copy(update={"dataset": str(Path(file).parent / plan.dataset)})


def cell_name(cell: Mapping[str, Any]) -> str:
    """A folder name for a point of a grid, such as "embedding_dim=32,learning_rate=0.001"."""
    parts = [f"{key}={value}" for key, value in cell.items()]
    return re.sub(r"[^\w.,=+-]", "_", ",".join(parts)) or BASE_CELL


@dataclass(frozen=True)
class Cell:
    """One trained point of a model's grid, with the experiment's first seed.

    Attributes:
        name: of the model in the experiment.
        values: the point of the grid, by field.
        run: its run.
        validation: its metrics on the validation part, in the form of `metrics.json`.
        score: the metric that cells are chosen by.
    """

    name: str
    values: dict[str, Any]
    run: Run
    validation: dict[str, Any]
    score: float


@dataclass(frozen=True)
class Experiment:
    """The result of an experiment.

    Attributes:
        plan: its file.
        dataset: of all runs.
        cells: every point of every grid, in the order of the file.
        chosen: the best cell of each model on the validation part, by the model's name.
        runs: of the chosen values with every seed, by the model's name.
        comparison: of those runs on the test part.
    """

    plan: ExperimentPlan
    dataset: PreparedDataset
    cells: tuple[Cell, ...]
    chosen: dict[str, Cell]
    runs: dict[str, list[Run]]
    comparison: Comparison


def run_experiment(plan: ExperimentPlan, dataset: PreparedDataset, output: Path, *, train: Train) -> Experiment:
    """Trains what is missing below `output`, chooses on validation, evaluates the chosen on the test part.

    The grid of a model is trained with the first seed; of equal cells the earlier is chosen. A model that does not
    depend on the seed is trained once. The metrics of the chosen runs are also written into their folders.

    Args:
        output: a run is in output/runs/NAME/CELL/seed-N.
        train: trains a configuration into a folder.

    Raises:
        RunError: if a run that is there already is of another dataset or configuration, or a part is empty.
    """
    worker = _Worker(plan, dataset, output, train)
    cells = [cell for model in plan.models for cell in worker.grid(model)]
    sign = -1 if find_metric(plan.tune_by)[0].higher_is_better is False else 1
    chosen: dict[str, Cell] = {}
    for cell in cells:
        if cell.name not in chosen or sign * cell.score > sign * chosen[cell.name].score:
            chosen[cell.name] = cell
    runs = {model.name: worker.seeds(model, chosen[model.name]) for model in plan.models}
    evaluations = {name: [worker.test(run) for run in group] for name, group in runs.items()}
    comparison = compare_evaluations(evaluations, plan.metrics)
    return Experiment(plan, dataset, tuple(cells), chosen, runs, comparison)


class _Worker:
    """Trains or opens one run after the other and counts them."""

    def __init__(self, plan: ExperimentPlan, dataset: PreparedDataset, output: Path, train: Train) -> None:
        self._plan, self._dataset, self._output = plan, dataset, output
        self._train = train
        self._done = 0
        self._total = sum(len(model.cells()) + len(self._seeds_of(model)) - 1 for model in plan.models)

    def _seeds_of(self, model: ModelPlan) -> tuple[int, ...]:
        return self._plan.seeds if model.seeded else self._plan.seeds[:1]

    def grid(self, model: ModelPlan) -> list[Cell]:
        """Every point of a model's grid, trained with the first seed and evaluated on the validation part."""
        return [self._cell(model, values) for values in model.cells()]

    def _cell(self, model: ModelPlan, values: dict[str, Any]) -> Cell:
        run, verb = self._run(model, values, self._plan.seeds[0])
        names = tuple(dict.fromkeys([*metric_names(lists=False), self._plan.tune_by]))
        evaluation = compute_metrics(run, names, split="validation")
        score = mean_of(evaluation.per_user, self._plan.tune_by)
        if score is None:
            raise RunError(
                f"`tune_by` must be a metric that some validation user has. No user has {self._plan.tune_by}. "
                "Tune by auc."
            )
        self._log_run(model, values, self._plan.seeds[0], verb, f"validation {self._plan.tune_by} {score:.4f}")
        return Cell(model.name, values, run, evaluation.metrics, score)

    def seeds(self, model: ModelPlan, chosen: Cell) -> list[Run]:
        """Runs of the chosen values with every seed; that of the first seed exists already."""
        runs = [chosen.run]
        for seed in self._seeds_of(model)[1:]:
            run, verb = self._run(model, chosen.values, seed)
            self._log_run(model, chosen.values, seed, verb, f"in {run.manifest.training_seconds:.0f} s of training")
            runs.append(run)
        return runs

    def test(self, run: Run) -> Evaluation:
        """The run's metrics on the test part, also written into its folder."""
        names = tuple(dict.fromkeys([*metric_names(), *self._plan.metrics]))
        return evaluate_run(run, names, split="test")

    def _run(self, model: ModelPlan, values: dict[str, Any], seed: int) -> tuple[Run, str]:
        folder = self._output / RUNS_NAME / model.name / cell_name(values) / f"seed-{seed}"
        config = model.config_of(values, seed=seed)
        if not (folder / MANIFEST_NAME).is_file():
            return self._train(self._dataset, config, folder), "trained"
        run = Run.open(folder)
        same = run.manifest.dataset_fingerprint == self._dataset.manifest.fingerprint and run.config == config
        if not same:
            raise RunError(
                f"{folder} must be the run of this experiment's file and dataset. It was trained with other values or "
                "on another dataset. Give another --output, or remove it."
            )
        return run, "kept"

    def _log_run(self, model: ModelPlan, values: dict[str, Any], seed: int, verb: str, outcome: str) -> None:
        self._done += 1
        cell = f" {cell_name(values)}" if values else ""
        _log.info("%d/%d %s%s seed %d: %s, %s", self._done, self._total, model.name, cell, seed, verb, outcome)
