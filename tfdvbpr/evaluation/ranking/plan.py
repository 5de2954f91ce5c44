"""The file of an experiment: which models, which seeds, which grid, on which dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.ranking.comparison import DEFAULT_METRICS
from tfdvbpr.evaluation.ranking.per_user import split_name
from tfdvbpr.models.recommenders import RECOMMENDERS, recommender_config

Values = Mapping[str, Any]
BASE_CELL = "base"


class ModelPlan(BaseModel):
    """One row of the table at the end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[\w.+-][\w.+ -]*$", description="Its label and the name of its folder.")
    model: str = Field(description="A name in RECOMMENDERS.")
    config: dict[str, Any] = Field(default_factory=dict, description="Configuration values beside the defaults.")
    grid: dict[str, list[Any]] = Field(default_factory=dict, description="Lists of values to try, by field.")

    @property
    def seeded(self) -> bool:
        """Whether another seed gives another model; popularity and VisRank have none."""
        return RECOMMENDERS[self.model].has_weights

    def cells(self) -> dict[str, dict[str, Any]]:
        """The values of every point of the grid by the name of its folder, the first keys varying slowest."""
        points = [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]
        return {cell_name(point): point for point in points}

    def settle(self, cell: Values, *, seed: int) -> RecommenderConfig:
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
        points = 1
        for values in self.grid.values():
            points *= len(values)
        if len(self.cells()) != points:
            raise ValueError(f"`grid` of {self.name} must hold each value once, told apart by letters and digits.")
        return self


class ExperimentPlan(BaseModel):
    """What `tfdvbpr experiment` reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = Field(description="A prepared dataset; a relative path begins at the experiment's file.")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="The grid is tuned with the first.")
    models: tuple[ModelPlan, ...] = Field(min_length=1)
    tune_by: str = Field("auc", description="The validation figure a cell is chosen by, such as auc or ndcg@10.")
    metrics: tuple[str, ...] = Field(DEFAULT_METRICS, min_length=1, description="Columns of the table at the end.")
    cold_threshold: int = Field(5, ge=1, description="Items with fewer training actions are cold.")

    @model_validator(mode="after")
    def _check(self) -> ExperimentPlan:
        names = [model.name.casefold() for model in self.models]
        if len(set(names)) != len(names):
            raise ValueError(f"`models` must have different names. Received {', '.join(names)}.")
        if len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"`seeds` must be different and at least 0. Received {self.seeds}.")
        for metric in (self.tune_by, *self.metrics):
            split_name(metric)
        for model in self.models:
            for cell in model.cells().values():
                model.settle(cell, seed=self.seeds[0])
        return self


def read_plan(file: Path) -> ExperimentPlan:
    """Reads and checks an experiment's file, every cell of every grid with it.

    Raises:
        ConfigError: if it cannot be read or a value in it is wrong.
    """
    try:
        values = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
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


def cell_name(cell: Values) -> str:
    """A folder name for a point of a grid, such as "embedding_dim=32,learning_rate=0.001"."""
    parts = [f"{key}={value}" for key, value in cell.items()]
    return re.sub(r"[^\w.,=+-]", "_", ",".join(parts)) or BASE_CELL
