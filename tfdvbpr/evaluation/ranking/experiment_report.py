"""The report of an experiment: its table, the chosen values, and the metrics of the grid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from tfdvbpr.evaluation.ranking.comparison import markdown, write_comparison
from tfdvbpr.evaluation.ranking.evaluate import is_metric
from tfdvbpr.evaluation.ranking.experiment import Cell, Experiment
from tfdvbpr.files import write_csv, write_text
from tfdvbpr.text import markdown as markdown_text

REPORT_NAME = "report.md"
GRID_NAME = "grid.csv"
COMPARISON_NAME = "comparison"


def write_report(experiment: Experiment, output: Path) -> Path:
    """Writes report.md, grid.csv and the folder comparison/ below `output`; returns the path of the report."""
    folder = output / COMPARISON_NAME
    folder.mkdir(parents=True, exist_ok=True)
    write_comparison(experiment.comparison, folder)
    write_csv(grid_table(experiment), output / GRID_NAME)
    write_text(output / REPORT_NAME, _report(experiment))
    return output / REPORT_NAME


def grid_table(experiment: Experiment) -> pl.DataFrame:
    """A row a cell: model, grid values as JSON, whether it was chosen, training seconds and all validation metrics."""
    rows = [
        {
            "name": cell.name,
            "model": cell.run.manifest.model,
            "values": json.dumps(cell.values),
            "seed": cell.run.config.seed,
            "chosen": experiment.chosen[cell.name] is cell,
            "training_seconds": cell.run.manifest.training_seconds,
            **_flat(cell.validation),
        }
        for cell in experiment.cells
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _flat(metrics: dict[str, Any]) -> dict[str, Any]:
    aucs = {f"validation_auc_{kind}": value for kind, value in metrics["auc"].items()}
    return {**aucs, **{f"validation_{name}": value for name, value in metrics.items() if is_metric(name)}}


def _report(experiment: Experiment) -> str:
    plan, about = experiment.plan, experiment.dataset.manifest
    seeds = ", ".join(map(str, plan.seeds))
    chosen = [
        "| name | model | chosen from the grid | set in the file | training, s (mean over seeds) |",
        "|---|---|---|---|---:|",
        *(_chosen_row(experiment, model.name, model.config) for model in plan.models),
    ]
    grid = [
        f"| name | values | {plan.tune_by} | training, s |",
        "|---|---|---:|---:|",
        *(_grid_row(cell, experiment.chosen[cell.name] is cell) for cell in experiment.cells),
    ]
    parts = [
        f"# Experiment on {markdown_text(about.name)}",
        f"{about.num_users:,} users, {about.num_items:,} items, {about.num_train:,} training, "
        f"{about.num_validation:,} validation and {about.num_test:,} test actions; dataset `{about.fingerprint}`. "
        f"Seeds {seeds}. Each model's values were chosen by {plan.tune_by} on the validation part with seed "
        f"{plan.seeds[0]}; the test part was evaluated once, with the chosen values.",
        "## Test",
        markdown(experiment.comparison).rstrip(),
        f"![Means with 95 % intervals]({COMPARISON_NAME}/comparison.png)",
        f"Every pair of models: `{COMPARISON_NAME}/pairs.csv`.",
        "## Chosen values",
        "\n".join(chosen),
        "## Validation metrics of the grid",
        f"All metrics: `{GRID_NAME}`. The chosen cell is bold.",
        "\n".join(grid),
    ]
    return "\n\n".join(parts) + "\n"


def _chosen_row(experiment: Experiment, name: str, config: dict[str, Any]) -> str:
    runs = experiment.runs[name]
    seconds = sum(run.manifest.training_seconds for run in runs) / len(runs)
    values = _listed(experiment.chosen[name].values)
    return f"| {markdown_text(name)} | {runs[0].manifest.model} | {values} | {_listed(config)} | {seconds:.0f} |"


def _grid_row(cell: Cell, chosen: bool) -> str:
    score = f"**{cell.score:.4f}**" if chosen else f"{cell.score:.4f}"
    return (
        f"| {markdown_text(cell.name)} | {_listed(cell.values)} | {score} | {cell.run.manifest.training_seconds:.0f} |"
    )


def _listed(values: dict[str, Any]) -> str:
    return markdown_text(", ".join(f"{key}={value}" for key, value in values.items())) or "–"
