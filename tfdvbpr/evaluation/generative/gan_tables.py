"""A judgement of GANs as a table, JSON, CSV and Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from tfdvbpr.evaluation.generative.evaluate_gan import REAL, GanJudgement

JSON_NAME = "metrics.json"
TABLE_NAME = "metrics.md"

# Which way is better; what stands in neither is neither.
_LOWER = ("fid_", "kid_")
_HIGHER = ("inception_score_", "precision_", "recall_", "category_accuracy")
_HIDDEN = ("_std", "training_seconds", "nearest_photo_")


def table_rows(judgement: GanJudgement) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text: a figure a row, a run a column, the held-out photos last."""
    columns = {label: gan.figures for label, gan in judgement.gans.items()} | {REAL: judgement.real}
    first = next(iter(judgement.gans.values())).figures
    names = [name for name in first if not any(part in name for part in _HIDDEN)]
    rows = [[_title(name), *(figure_text(figures, name) for figures in columns.values())] for name in names]
    known = judgement.photos.classifier
    rows.append(["classifier's accuracy on held-out photos", *([f"{known.accuracy:.3f}"] * len(columns))])
    return ["", *columns], rows


def markdown(judgement: GanJudgement) -> str:
    """The table with what its figures are, and a table of the categories of each run."""
    headings, rows = table_rows(judgement)
    parts = [markdown_table(headings, rows), notes(judgement)]
    for label in judgement.gans:
        parts += [f"## {label}", markdown_table(*category_rows(judgement, label))]
    return "\n\n".join(parts) + "\n"


def notes(judgement: GanJudgement) -> str:
    """What the figures of the table are, in words."""
    photos, options = judgement.photos, judgement.options
    return (
        f"{photos.dataset.manifest.name}, {photos.dataset.manifest.num_items} photos. Features and ImageNet classes by "
        f"{photos.extractor}. FID (lower is better), KID (lower, ± standard deviation of one subset), precision and "
        f"recall (k = 3) of {options.num_samples} pictures in the photos' mix of categories against all photos of the "
        f"categories drawn, which are those of the training. Category accuracy by a CNN trained on "
        f"{len(photos.split.train)} of the photos, which names {photos.classifier.accuracy:.1%} of "
        f"{photos.classifier.num_held_out} held-out ones rightly; macro: each category counts the same. Diversity is "
        "1 − MS-SSIM of pairs within a category, a mean over categories. Memorisation: the distance to the nearest "
        "training photo as a percentile of held-out photos' distances (50: as far as new photos), and the share nearer "
        f"than their nearest 1 % (0.01: as new photos). {REAL}: the same figures of {len(photos.split.held_out)} "
        "photos the others are held against; their FID is of another number of pictures." + _warned(judgement)
    )


def category_rows(judgement: GanJudgement, label: str) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text: a category of a run a row, the largest first."""
    categories = judgement.gans[label].categories
    figures = list(next(iter(categories.values())))
    shown = [name for name in figures if not name.endswith("_std")]
    order = sorted(categories, key=lambda name: -categories[name]["photos"])
    rows = [[name, *(_figure(categories[name][figure]) for figure in shown)] for name in order]
    return ["category", *map(heading, shown)], rows


def heading(name: str) -> str:
    """A figure's name for the head of a column."""
    return name.replace("diversity_1_ms_ssim", "diversity 1 − MS-SSIM").replace("photos_", "photos' ")


def write_tables(judgement: GanJudgement, folder: Path) -> None:
    """Writes metrics.json, metrics.csv (a row a run), categories.csv and metrics.md into a folder."""
    (folder / JSON_NAME).write_text(json.dumps(as_dict(judgement), indent=2) + "\n", encoding="utf-8")
    runs: list[dict[str, Any]] = [{"run": label, **gan.figures} for label, gan in judgement.gans.items()]
    pl.DataFrame([*runs, {"run": REAL, **judgement.real}], infer_schema_length=None).write_csv(folder / "metrics.csv")
    rows = [
        {"run": label, "category": name, **figures}
        for label, gan in judgement.gans.items()
        for name, figures in gan.categories.items()
    ]
    pl.DataFrame(rows, infer_schema_length=None).write_csv(folder / "categories.csv")
    (folder / TABLE_NAME).write_text(markdown(judgement), encoding="utf-8")


def as_dict(judgement: GanJudgement) -> dict[str, Any]:
    """Everything, for JSON."""
    photos, options = judgement.photos, judgement.options
    return {
        "dataset": photos.dataset.manifest.name,
        "dataset_fingerprint": photos.dataset.manifest.fingerprint,
        "extractor": options.extractor,
        "num_samples": options.num_samples,
        "seed": options.seed,
        "classifier": {
            "trained_on": len(photos.split.train),
            "held_out": photos.classifier.num_held_out,
            "accuracy": photos.classifier.accuracy,
            "category_accuracy": photos.classifier.category_accuracy,
        },
        "warnings": judgement.warnings,
        "real_photos_held_out": judgement.real,
        "runs": {
            label: {"path": str(gan.run.path), **gan.figures, "categories": gan.categories}
            for label, gan in judgement.gans.items()
        },
    }


def _title(name: str) -> str:
    arrow = " ↓" if name.startswith(_LOWER) else " ↑" if name.startswith(_HIGHER) else ""
    return name + arrow


def figure_text(figures: dict[str, Any], name: str) -> str:
    """A figure as text, with its standard deviation where there is one."""
    spread = figures.get(f"{name}_std")
    told = _figure(figures.get(name))
    return told if spread is None else f"{told} ± {_figure(spread)}"


def _figure(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"


def _warned(judgement: GanJudgement) -> str:
    return "".join(f"\n\n{line}" for line in judgement.warnings)


def markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    """A table, the first column to the left, the others to the right."""
    lines = [f"| {' | '.join(headings)} |", f"|---|{'---:|' * (len(headings) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
