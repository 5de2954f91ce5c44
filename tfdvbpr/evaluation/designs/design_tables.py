"""The table of designs as text, JSON, CSV, Markdown and a sheet."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tfdvbpr.data.images.grids import image_grid
from tfdvbpr.evaluation.designs.baselines import RANDOM_G
from tfdvbpr.evaluation.designs.evaluate_designs import DesignJudgement
from tfdvbpr.evaluation.generative.gan_tables import figure_text, heading, markdown_table

TABLE_NAME = "designs.md"
_SHEET_ROWS = 16


def table_rows(judgement: DesignJudgement) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text: the paper's table, pictures of one kind a row."""
    first = next(iter(judgement.rows.values()))
    shown = [name for name in first if not name.endswith("_std") and not name.startswith(("precision", "recall"))]
    rows = [[label, *(figure_text(row, name) for name in shown)] for label, row in judgement.rows.items()]
    return ["", *map(heading, shown)], rows


def rival_rows(judgement: DesignJudgement) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text: designs against their rivals."""
    headings = ["designs", "against", "by", "users won", "mean difference (sd)", "p", "FID ratio"]
    rows = [
        [
            test["designs"],
            test["rival"],
            f"{test['recommender']} recommender",
            f"{test['share_of_users']:.1%}",
            f"{test['mean_difference']:+.3f}",
            f"{test['p_value']:.1e}",
            f"{test['fid_ratio']:.2f}",
        ]
        for test in judgement.tests
    ]
    return headings, rows


def notes(judgement: DesignJudgement) -> str:
    """What the figures of the table are, in words."""
    photos, options, requests = judgement.photos, judgement.options, judgement.requests
    users = len(np.unique(requests.users))
    second = (
        ""
        if judgement.second is None
        else f" The second recommender ({judgement.second.config.backbone}, seed {judgement.second.config.seed}) was "
        "never ascended."
    )
    return (
        f"{photos.dataset.manifest.name}: {len(requests)} requests of {users} users, each in up to "
        f"{options.categories_per_user} categories she bought most in training; one picture a request in every row. "
        f"Preference is θᵀΦ of the recommender that was ascended ({judgement.run.config.backbone}, seed "
        f"{judgement.run.config.seed}); standardised: in standard deviations from the mean real item of the category, "
        f"within the user.{second} Realism is D̂, 1 for what the discriminator calls real. FID and KID by "
        f"{photos.extractor} against {judgement.num_photos} photos, those of the requested categories; FID of "
        f"{len(requests)} pictures compares only with its neighbours in the table. Category accuracy by a CNN trained "
        f"on photos, {photos.classifier.accuracy:.1%} right on held-out ones. Diversity is 1 − MS-SSIM of pairs within "
        f"a category. Designs: best of {options.design.num_starts} starts of σ {options.design.initial_stddev:g} by "
        f"the objective, {options.design.num_steps} steps of {options.design.learning_rate:g}. Top retrieved: the best "
        "real item of the category, bought or not. Tests: Wilcoxon's signed-rank test over users, two-sided, of a "
        "user's mean standardised preference."
    )


def markdown(judgement: DesignJudgement) -> str:
    """Both tables and what they are."""
    parts = [markdown_table(*table_rows(judgement)), markdown_table(*rival_rows(judgement)), notes(judgement)]
    return "\n\n".join(parts) + "\n"


def write_tables(judgement: DesignJudgement, folder: Path) -> None:
    """Writes designs.json, .csv and .md, tests.csv, and designs.png into a folder."""
    (folder / "designs.json").write_text(json.dumps(as_dict(judgement), indent=2) + "\n", encoding="utf-8")
    rows: list[dict[str, Any]] = [{"pictures": label, **row} for label, row in judgement.rows.items()]
    pl.DataFrame(rows, infer_schema_length=None).write_csv(folder / "designs.csv")
    pl.DataFrame(judgement.tests, infer_schema_length=None).write_csv(folder / "tests.csv")
    (folder / TABLE_NAME).write_text(markdown(judgement), encoding="utf-8")
    write_sheet(judgement, folder / "designs.png")


def as_dict(judgement: DesignJudgement) -> dict[str, Any]:
    """Everything, for JSON."""
    return {
        "dataset": judgement.photos.dataset.manifest.name,
        "run": str(judgement.run.path),
        "gan_run": str(judgement.gan_run.path),
        "second_run": None if judgement.second is None else str(judgement.second.path),
        "options": asdict(judgement.options),
        "num_requests": len(judgement.requests),
        "num_photos": judgement.num_photos,
        "classifier_accuracy": judgement.photos.classifier.accuracy,
        "rows": judgement.rows,
        "tests": judgement.tests,
    }


def write_sheet(judgement: DesignJudgement, path: Path) -> None:
    """A request a row, a row of the table a column; below each picture θᵀΦ of the recommender that was ascended."""
    requests, arms = judgement.requests, judgement.arms
    shown = range(min(_SHEET_ROWS, len(requests)))
    rows = [[arm.images[number] for arm in arms.values()] for number in shown]
    captions = [[f"{arm.preferences[number]:+.2f}" for arm in arms.values()] for number in shown]
    titles = [f"{judgement.run.user_ids[requests.users[number]]} {requests.categories[number]}" for number in shown]
    image_grid(
        rows,
        title="Preference below each picture",
        column_titles=[_short(label) for label in arms],
        row_titles=titles,
        captions=captions,
        cell_height=128,
    ).save(path)


def _short(label: str) -> str:
    """A row's name above a narrow column, in letters that the font has."""
    words = {"random real items": "real", "top retrieved items": "retrieved", "designs η=": "eta ", " random G": ""}
    if label == RANDOM_G:
        return label
    for long, short in words.items():
        label = label.replace(long, short)
    return label.replace("augment-and-blur", "both")
