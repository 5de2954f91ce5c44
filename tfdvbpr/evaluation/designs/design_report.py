"""Tables, notes and image sheets of an evaluation of designs, and the files that hold them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tfdvbpr.data.images.grids import image_grid
from tfdvbpr.evaluation.designs.baselines import RANDOM_G, RANDOM_REAL, RETRIEVED
from tfdvbpr.evaluation.designs.evaluate_designs import CATEGORIES_PER_USER, DesignEvaluation
from tfdvbpr.evaluation.generative.gan_report import metric_notes
from tfdvbpr.evaluation.generative.metrics import format_number, metric_text, titled_metrics
from tfdvbpr.evaluation.ranking.comparison import markdown_table
from tfdvbpr.files import write_csv
from tfdvbpr.text import markdown

TABLE_NAME = "designs.md"
COLUMNS = {
    "preference": "θᵀΦ of the recommender that was ascended",
    "preference_standardised": "the same in standard deviations from the mean real item of the category, for the user",
    "second_preference_standardised": "the same under a second recommender, which was not ascended",
    "realism": "D̂, 1 for what the discriminator classifies as real",
    "realism_penalty": "mean (D̂ − 1)²",
}
_GRID_ROWS = 16
_GHOST_ROWS, _GHOST_COLUMNS = 4, 12


def table_rows(evaluation: DesignEvaluation) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text: the paper's table, a kind of images a row."""
    first = next(iter(evaluation.rows.values()))
    own = [name for name in COLUMNS if name in first]
    titled = {name: each for name, each in titled_metrics(evaluation.options.extractor).items() if name in first}
    rows = [
        [
            label,
            *(format_number(row[name]) for name in own),
            *(metric_text(metric, row, name) for name, (_, metric) in titled.items()),
        ]
        for label, row in evaluation.rows.items()
    ]
    return ["", *own, *(title for title, _ in titled.values())], rows


def comparison_rows(evaluation: DesignEvaluation) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text: designs against baselines."""
    headings = ["designs", "against", "by", "users won", "mean difference (sd)", "p", "FID ratio"]
    rows = [
        [
            test["designs"],
            test["baseline"],
            f"{test['recommender']} recommender",
            f"{test['share_of_users']:.1%}",
            f"{test['mean_difference']:+.3f}",
            f"{test['p_value']:.1e}",
            f"{test['fid_ratio']:.2f}",
        ]
        for test in evaluation.tests
    ]
    return headings, rows


def notes(evaluation: DesignEvaluation) -> str:
    """How the metrics were computed, in words."""
    photos, options, requests = evaluation.photos, evaluation.options, evaluation.requests
    design, config = options.design, evaluation.run.config
    second, dataset = evaluation.second_run, markdown(photos.dataset.manifest.name)
    runs = f"The ascended recommender: {config.backbone}, seed {config.seed}."
    if second is not None:
        runs += f" The second one, which was not ascended: {second.config.backbone}, seed {second.config.seed}."
    return (
        f"{dataset}: {len(requests)} requests of {len(np.unique(requests.users))} users, "
        f"each in up to {CATEGORIES_PER_USER} categories in which the user has the most training actions; one image a "
        f"request in every row. {runs} The metrics compare with {evaluation.num_photos} photos, those of the requested "
        f"categories; FID of {len(requests)} images compares only within this table. The category classifier's "
        f"accuracy is {photos.classifier.accuracy:.1%} on held-out photos. Designs: best of {design.num_starts} starts "
        f"by the objective, which are the most preferred of {design.num_candidates} random latents; {design.num_steps} "
        f"steps of {design.learning_rate:g} that keep the latents' norm. Top "
        "retrieved: the best real item of the category, bought or not. Tests: Wilcoxon's signed-rank test over users, "
        "two-sided, of a user's mean standardised preference."
    )


def write_design_report(evaluation: DesignEvaluation, folder: Path) -> None:
    """Writes designs.json, .csv and .md, tests.csv, designs.png and ghosts.png into a folder."""
    (folder / "designs.json").write_text(json.dumps(_as_dict(evaluation), indent=2) + "\n", encoding="utf-8")
    rows: list[dict[str, Any]] = [{"images": label, **row} for label, row in evaluation.rows.items()]
    write_csv(pl.DataFrame(rows, infer_schema_length=None), folder / "designs.csv")
    write_csv(pl.DataFrame(evaluation.tests, infer_schema_length=None), folder / "tests.csv")
    columns = "\n".join(f"- `{name}`: {text}." for name, text in COLUMNS.items())
    tables = [markdown_table(*table_rows(evaluation)), markdown_table(*comparison_rows(evaluation))]
    parts = [*tables, columns + "\n" + metric_notes(evaluation.photos), notes(evaluation)]
    (folder / TABLE_NAME).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    _write_grid(evaluation, folder / "designs.png")
    _write_ghosts(evaluation, folder / "ghosts.png")


def _as_dict(evaluation: DesignEvaluation) -> dict[str, Any]:
    return {
        "dataset": evaluation.photos.dataset.manifest.name,
        "run": str(evaluation.run.path),
        "gan_run": str(evaluation.gan_run.path),
        "second_run": None if evaluation.second_run is None else str(evaluation.second_run.path),
        "options": asdict(evaluation.options),
        "num_requests": len(evaluation.requests),
        "num_photos": evaluation.num_photos,
        "classifier_accuracy": evaluation.photos.classifier.accuracy,
        "rows": evaluation.rows,
        "tests": evaluation.tests,
    }


def _write_grid(evaluation: DesignEvaluation, path: Path) -> None:
    """A request a row, a row of the table a column; below each image θᵀΦ of the recommender that was ascended."""
    requests, images = evaluation.requests, evaluation.images
    shown = range(min(_GRID_ROWS, len(requests)))
    user_ids = evaluation.run.user_ids
    image_grid(
        [[row.images[number] for row in images.values()] for number in shown],
        title="Preference below each image",
        column_titles=[_short(label) for label in images],
        row_titles=[f"{user_ids[requests.users[number]]} {requests.categories[number]}" for number in shown],
        captions=[[f"{row.preferences[number]:+.2f}" for row in images.values()] for number in shown],
        cell_height=128,
    ).save(path)


def _write_ghosts(evaluation: DesignEvaluation, path: Path) -> None:
    """The designs that glow or are washed out most, the worst first; below each image by how much."""
    label = evaluation.default_designs
    images, ghostliness = evaluation.images[label].images, evaluation.ghostliness[label]
    worst = np.argsort(-ghostliness, kind="stable")[: _GHOST_ROWS * _GHOST_COLUMNS]
    rows = [worst[start : start + _GHOST_COLUMNS] for start in range(0, len(worst), _GHOST_COLUMNS)]
    image_grid(
        [[images[number] for number in row] for row in rows],
        title=f"{_short(label)}: the {len(worst)} of {len(images)} that glow or are washed out most; above 1 a ghost",
        captions=[[f"{ghostliness[number]:.2f}" for number in row] for row in rows],
        cell_height=128,
    ).save(path)


def _short(label: str) -> str:
    """A row's name above a narrow column, in letters that the font has."""
    words = {RANDOM_REAL: "real", RETRIEVED: "retrieved", "designs η=": "eta "}
    if label != RANDOM_G:
        words[f" {RANDOM_G}"] = ""
    for long, short in words.items():
        label = label.replace(long, short)
    return label
