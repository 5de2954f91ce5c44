"""Several models, seeds and small grids on one dataset: tuned on validation alone, tested once, one table at the end.

Every cell is a run folder of its own, so that an interrupted experiment goes on where it stopped. Training is handed in
by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import RunError
from tfdvbpr.evaluation.ranking.comparison import Comparison, compare_evaluations
from tfdvbpr.evaluation.ranking.evaluate import Evaluation, measure, measure_and_write
from tfdvbpr.evaluation.ranking.per_user import metric_names
from tfdvbpr.evaluation.ranking.plan import ExperimentPlan, ModelPlan, cell_name
from tfdvbpr.evaluation.ranking.summary import column_mean
from tfdvbpr.run import MANIFEST_NAME, Run

RUNS_NAME = "runs"

Train = Callable[[PreparedDataset, RecommenderConfig, Path], Run]
Told = Callable[[str], None]


@dataclass(frozen=True)
class Cell:
    """One trained point of a model's grid, with the experiment's first seed.

    Attributes:
        name: of the model in the experiment.
        values: the point of the grid, by field.
        run: its run.
        validation: its figures on the validation part, in the form of `metrics.json`.
        score: the figure that is tuned by.
    """

    name: str
    values: dict[str, Any]
    run: Run
    validation: dict[str, Any]
    score: float


@dataclass(frozen=True)
class Experiment:
    """What an experiment found.

    Attributes:
        plan: what was asked.
        dataset: what it ran on.
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


def run_experiment(
    plan: ExperimentPlan, dataset: PreparedDataset, output: Path, *, train: Train, told: Told
) -> Experiment:
    """Trains what is missing below `output`, chooses on validation, evaluates the chosen on the test part.

    The grid of a model is trained with the first seed; of equal cells the earlier is chosen. A model that has no seed
    is trained once. The figures of the chosen runs are also written into their folders.

    Args:
        plan: what to do.
        dataset: what to train on.
        output: runs go to output/runs/NAME/CELL/seed-N.
        train: makes the run of a configuration at a place.
        told: takes a line for people a cell.

    Raises:
        RunError: if a run that lies there already is of another dataset or configuration, or a part is empty.
    """
    worker = _Worker(plan, dataset, output, train, told)
    cells = [cell for model in plan.models for cell in worker.grid(model)]
    chosen: dict[str, Cell] = {}
    for cell in cells:
        if cell.name not in chosen or cell.score > chosen[cell.name].score:
            chosen[cell.name] = cell
    runs = {model.name: worker.seeds(model, chosen[model.name]) for model in plan.models}
    evaluations = {name: [worker.test(run) for run in group] for name, group in runs.items()}
    comparison = compare_evaluations(evaluations, plan.metrics)
    return Experiment(plan, dataset, tuple(cells), chosen, runs, comparison)


class _Worker:
    """Trains or finds one run after the other and counts them."""

    def __init__(self, plan: ExperimentPlan, dataset: PreparedDataset, output: Path, train: Train, told: Told) -> None:
        self._plan, self._dataset, self._output = plan, dataset, output
        self._train, self._told = train, told
        self._done = 0
        self._total = sum(len(model.cells()) + len(self._seeds_of(model)) - 1 for model in plan.models)

    def _seeds_of(self, model: ModelPlan) -> tuple[int, ...]:
        return self._plan.seeds if model.seeded else self._plan.seeds[:1]

    def grid(self, model: ModelPlan) -> list[Cell]:
        """Every point of a model's grid, trained with the first seed and measured on the validation part."""
        return [self._cell(model, values) for values in model.cells().values()]

    def _cell(self, model: ModelPlan, values: dict[str, Any]) -> Cell:
        run, verb = self._run(model, values, self._plan.seeds[0])
        names = tuple(dict.fromkeys([*metric_names(lists=False), self._plan.tune_by]))
        looked = measure(run, names, split="validation", cold_threshold=self._plan.cold_threshold)
        score = column_mean(looked.per_user, self._plan.tune_by)
        if score is None:
            raise RunError(
                f"`tune_by` must be a figure that some validation user has. No user has {self._plan.tune_by}. "
                "Tune by auc."
            )
        self._tell(model, values, self._plan.seeds[0], verb, f"validation {self._plan.tune_by} {score:.4f}")
        return Cell(model.name, values, run, looked.figures, score)

    def seeds(self, model: ModelPlan, chosen: Cell) -> list[Run]:
        """Runs of the chosen values with every seed, the first of which is there."""
        runs = [chosen.run]
        for seed in self._seeds_of(model)[1:]:
            run, verb = self._run(model, chosen.values, seed)
            self._tell(model, chosen.values, seed, verb, f"in {run.manifest.training_seconds:.0f} s of training")
            runs.append(run)
        return runs

    def test(self, run: Run) -> Evaluation:
        """The run's figures on the test part, also written into its folder."""
        names = tuple(dict.fromkeys([*metric_names(), *self._plan.metrics]))
        return measure_and_write(run, names, split="test", cold_threshold=self._plan.cold_threshold)

    def _run(self, model: ModelPlan, values: dict[str, Any], seed: int) -> tuple[Run, str]:
        folder = self._output / RUNS_NAME / model.name / cell_name(values) / f"seed-{seed}"
        config = model.settle(values, seed=seed)
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

    def _tell(self, model: ModelPlan, values: dict[str, Any], seed: int, verb: str, figure: str) -> None:
        self._done += 1
        cell = f" {cell_name(values)}" if values else ""
        self._told(f"{self._done}/{self._total} {model.name}{cell} seed {seed}: {verb}, {figure}")
