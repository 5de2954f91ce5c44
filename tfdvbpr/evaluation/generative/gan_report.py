"""Writes an evaluation of GANs: JSON, CSV and Markdown tables, and sample grids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tfdvbpr.data.images.grids import image_grid
from tfdvbpr.data.images.similarity import nearest_members
from tfdvbpr.evaluation.generative.evaluate_gan import REAL, EvaluatedGan, GanEvaluation
from tfdvbpr.evaluation.generative.features import BLUR_SIGMA, FeatureSpace
from tfdvbpr.evaluation.generative.metrics import METRICS, column_of, metric_text, titled_metrics
from tfdvbpr.evaluation.generative.photos import RealPhotos
from tfdvbpr.evaluation.generative.scratch_network import accuracy_text
from tfdvbpr.evaluation.ranking.comparison import markdown_table
from tfdvbpr.files import write_csv
from tfdvbpr.text import markdown as markdown_text

TABLE_NAME = "metrics.md"
_COLUMNS = 12
_PHOTOS = 3
_NEIGHBOURS = 3
_NEAREST_ROWS = 12
_QUIZ_CATEGORIES, _QUIZ_COLUMNS = 6, 10


def write_gan_report(evaluation: GanEvaluation, folder: Path) -> None:
    """Writes the tables metrics.json, .csv (a row a run) and .md and categories.csv, and sample grids, into a folder.

    The grids of a run are samples-LABEL.png, nearest-LABEL.png and quiz-LABEL.png, with its answers in quiz-LABEL.csv.
    """
    (folder / "metrics.json").write_text(json.dumps(as_dict(evaluation), indent=2) + "\n", encoding="utf-8")
    runs: list[dict[str, Any]] = [{"run": label, **gan.metrics} for label, gan in evaluation.gans.items()]
    runs += [{"run": label, **metrics} for label, metrics in evaluation.real.items()]
    write_csv(pl.DataFrame(runs, infer_schema_length=None), folder / "metrics.csv")
    rows = [
        {"run": label, "category": name, **metrics}
        for label, gan in evaluation.gans.items()
        for name, metrics in gan.categories.items()
    ]
    write_csv(pl.DataFrame(rows, infer_schema_length=None), folder / "categories.csv")
    (folder / TABLE_NAME).write_text(markdown(evaluation), encoding="utf-8")
    for label, gan in evaluation.gans.items():
        name = label.replace("/", "-")
        _write_samples(evaluation.photos, gan, folder / f"samples-{name}.png")
        _write_nearest(evaluation.photos, gan, folder / f"nearest-{name}.png")
        _write_quiz(gan, folder, name, seed=evaluation.options.seed)


def as_dict(evaluation: GanEvaluation) -> dict[str, Any]:
    """The whole evaluation, for JSON."""
    photos, options = evaluation.photos, evaluation.options
    return {
        "dataset": photos.dataset.manifest.name,
        "dataset_fingerprint": photos.dataset.manifest.fingerprint,
        "extractors": list(options.extractors),
        "extractor_accuracy": {photos.space.name: dict(photos.space.accuracy) for photos in _trained(evaluation)},
        "blur_sigma": BLUR_SIGMA,
        "num_samples": options.num_samples,
        "seed": options.seed,
        "classifier": {
            "trained_on": len(photos.split.train),
            "held_out": len(photos.split.held_out),
            "accuracy": photos.classifier.accuracy,
            "category_accuracy": photos.classifier.category_accuracy,
        },
        "warnings": evaluation.warnings,
        "real_photos": evaluation.real,
        "runs": {
            label: {"path": str(gan.run.path), **gan.metrics, "categories": gan.categories}
            for label, gan in evaluation.gans.items()
        },
    }


def tables(evaluation: GanEvaluation) -> list[tuple[str, list[str], list[list[str]]]]:
    """A title, headings and rows of text of each group of metrics: a metric a row, a run a column, photos last."""
    columns = {label: gan.metrics for label, gan in evaluation.gans.items()} | evaluation.real
    headings = ["", *columns]

    def group(features: str, *, every_space: bool) -> list[list[str]]:
        return [
            [title, *(metric_text(metric, values, name) for values in columns.values())]
            for name, (title, metric) in titled_metrics(features, every_space=every_space).items()
            if any(name in values for values in columns.values())
        ]

    found = [
        (space_title(photos.space), headings, group(photos.space.label, every_space=True))
        for photos in evaluation.spaces
    ]
    rows = group(evaluation.photos.space.label, every_space=False)
    accuracy = evaluation.photos.classifier.accuracy
    rows.append(["num_samples", *(str(values["num_samples"]) for values in columns.values())])
    rows.append(["classifier's accuracy on held-out photos", *([f"{accuracy:.3f}"] * len(columns))])
    return [*found, ("Categories, diversity and near copies", headings, rows)]


def space_title(space: FeatureSpace) -> str:
    """How images are compared, in words."""
    return (
        f"Photos and images blurred alike (σ = {space.sigma:g} px), by {space.name}"
        if space.sigma
        else f"Images as they are, by {space.name}"
    )


def markdown(evaluation: GanEvaluation) -> str:
    """The tables with their notes and a table of the categories of each run."""
    parts = [
        part for title, headings, rows in tables(evaluation) for part in (f"## {title}", markdown_table(headings, rows))
    ]
    parts += ["## Notes", metric_notes(evaluation.photos), notes(evaluation)]
    for label in evaluation.gans:
        parts += [f"## {markdown_text(label)}", markdown_table(*category_rows(evaluation, label))]
    return "\n\n".join(parts) + "\n"


def metric_notes(photos: RealPhotos) -> str:
    """A line of Markdown for each metric of the tables: its description."""
    titles = titled_metrics(photos.space.label)
    return "\n".join(f"- `{name}`: {metric.description}." for name, (_, metric) in titles.items())


def notes(evaluation: GanEvaluation) -> str:
    """How the metrics were computed, in words."""
    photos, options = evaluation.photos, evaluation.options
    name = markdown_text(photos.dataset.manifest.name)
    text = (
        f"{name}, {photos.dataset.manifest.num_items} photos. Features and ImageNet classes by "
        f"the extractor in a metric's name; with _blurred, photos and images are both blurred by a Gaussian of σ = "
        f"{BLUR_SIGMA:g} px first, so that sharpness counts for little. {options.num_samples} images in the photos' "
        "mix of categories are compared with all photos of the categories generated, which are those of the training. "
        f"The category classifier was trained on {len(photos.split.train)} of the photos; its accuracy is "
        f"{photos.classifier.accuracy:.1%} on {len(photos.split.held_out)} held-out ones. {REAL}: the same metrics of "
        f"{len(photos.split.held_out)} photos compared with the others; their FID is of another number of images. The "
        "last columns: these photos, but blurred, compared with the others as they are."
    )
    trained = [
        f"{each.space.name}: a network trained from scratch on the same {len(each.split.train)} photos. "
        + accuracy_text(each.space.accuracy)
        for each in _trained(evaluation)
    ]
    return "\n\n".join([text, *map(markdown_text, [*trained, *evaluation.warnings])])


def _trained(evaluation: GanEvaluation) -> list[RealPhotos]:
    """The photos with features of extractors that were trained on photos of the dataset."""
    return [photos for photos in evaluation.spaces if photos.space.accuracy and not photos.space.sigma]


def category_rows(evaluation: GanEvaluation, label: str) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text: a category of a run a row, the largest first."""
    gan, features = evaluation.gans[label], evaluation.photos.space.label
    columns = {
        metric.category_column or column_of(name, metric, features): metric
        for name, metric in METRICS.items()
        if metric.by_category is not None
    }
    rows = []
    for name in _by_size(gan):
        values = gan.categories[name]
        counts = [str(values["photos"]), str(values["samples"])]
        rows.append([name, *counts, *(metric_text(metric, values, column) for column, metric in columns.items())])
    return ["category", "photos", "samples", *columns], rows


def _by_size(gan: EvaluatedGan) -> list[str]:
    return sorted(gan.categories, key=lambda name: -gan.categories[name]["photos"])


def _write_samples(photos: RealPhotos, gan: EvaluatedGan, path: Path) -> None:
    """A category a row, the largest first: random samples, then random photos."""
    rows: list[list[npt.NDArray[np.uint8] | None]] = []
    titles = []
    for name in _by_size(gan):
        samples = gan.samples.images[np.flatnonzero(gan.samples.categories == name)[:_COLUMNS]]
        real = np.flatnonzero(photos.categories == name)
        shown = np.random.default_rng(0).permutation(real)[:_PHOTOS]
        gap: list[None] = [None] * (_COLUMNS - len(samples) + 1)
        rows.append([*samples, *gap, *photos.dataset.images.read(shown)] if len(shown) else [*samples])
        accuracy = gan.categories[name]["accuracy"]
        titles.append(name if accuracy is None else f"{name} {accuracy:.0%}")
    columns = ["samples", *[""] * _COLUMNS, "photos"]
    image_grid(rows, column_titles=columns, row_titles=titles, cell_height=64).save(path)


def _write_nearest(photos: RealPhotos, gan: EvaluatedGan, path: Path) -> None:
    """The samples that are nearest to a training photo, and as many at random, each with its nearest photos."""
    kept = np.flatnonzero(gan.samples.in_proportion)
    found = nearest_members(gan.samples.features[kept], photos.features, k=min(_NEIGHBOURS, len(photos.features)))
    order = np.argsort(found.distances[:, 0], kind="stable")
    closest = order[:_NEAREST_ROWS]
    random = np.random.default_rng(0).permutation(len(kept))[:_NEAREST_ROWS]

    def row(number: int) -> list[npt.NDArray[np.uint8] | None]:
        return [gan.samples.images[kept[number]], *photos.dataset.images.read(found.rows[number])]

    pairs = list(zip(closest, random, strict=True))
    rows = [[*row(near), None, *row(other)] for near, other in pairs]
    titles = [f"{found.distances[near, 0]:.2f} | {found.distances[other, 0]:.2f}" for near, other in pairs]
    columns = ["nearest", "photos", *[""] * found.rows.shape[1], "random", "photos"]
    image_grid(rows, column_titles=columns, row_titles=titles, cell_height=72).save(path)


def _write_quiz(gan: EvaluatedGan, folder: Path, label: str, *, seed: int) -> None:
    """Samples of the largest categories in random order without names, and the answers beside."""
    generator = np.random.default_rng((seed, 9))
    names = _by_size(gan)[:_QUIZ_CATEGORIES]
    rows = np.concatenate([np.flatnonzero(gan.samples.categories == name)[:_QUIZ_COLUMNS] for name in names])
    rows = generator.permutation(rows)
    lines = [rows[start : start + _QUIZ_COLUMNS] for start in range(0, len(rows), _QUIZ_COLUMNS)]
    letters = [chr(ord("A") + number) for number in range(len(lines))]
    columns = [str(number + 1) for number in range(_QUIZ_COLUMNS)]
    grid = image_grid([list(gan.samples.images[line]) for line in lines], column_titles=columns, row_titles=letters)
    grid.save(folder / f"quiz-{label}.png")
    cells = [
        f"{letter}{number + 1}" for letter, line in zip(letters, lines, strict=True) for number in range(len(line))
    ]
    key = pl.DataFrame({"cell": cells, "category": gan.samples.categories[rows].tolist()})
    write_csv(key, folder / f"quiz-{label}.csv")
