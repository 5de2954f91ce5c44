"""Sheets of samples: by category, beside their nearest photos, and without names for a person to guess."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from tfdvbpr.data.images.grids import image_grid
from tfdvbpr.evaluation.generative.evaluate_gan import GanJudgement, JudgedGan
from tfdvbpr.evaluation.generative.manifold import nearest
from tfdvbpr.evaluation.generative.photos import RealPhotos

_COLUMNS = 12
_PHOTOS = 3
_NEIGHBOURS = 3
_NEAREST_ROWS = 12
_QUIZ_CATEGORIES, _QUIZ_EACH = 6, 10


def write_sheets(judgement: GanJudgement, folder: Path) -> None:
    """Writes samples-LABEL.png, nearest-LABEL.png, quiz-LABEL.png and quiz-LABEL.csv of every run into a folder."""
    for label, gan in judgement.gans.items():
        _write_samples(judgement.photos, gan, folder / f"samples-{label}.png")
        _write_nearest(judgement.photos, gan, folder / f"nearest-{label}.png")
        _write_quiz(gan, folder, label, seed=judgement.options.seed)


def _by_size(gan: JudgedGan) -> list[str]:
    return sorted(gan.categories, key=lambda name: -gan.categories[name]["photos"])


def _write_samples(photos: RealPhotos, gan: JudgedGan, path: Path) -> None:
    """A category a row, the largest first: random samples, then random photos."""
    rows: list[list[npt.NDArray[np.uint8] | None]] = []
    titles = []
    items = photos.dataset.items
    for name in _by_size(gan):
        samples = gan.judged.images[np.flatnonzero(gan.judged.categories == name)[:_COLUMNS]]
        real = np.flatnonzero(np.array(items.table["category"]) == name)
        shown = np.random.default_rng(0).permutation(real)[:_PHOTOS]
        gap: list[None] = [None] * (_COLUMNS - len(samples) + 1)
        rows.append([*samples, *gap, *photos.dataset.images.read(shown)] if len(shown) else [*samples])
        accuracy = gan.categories[name]["accuracy"]
        titles.append(name if accuracy is None else f"{name} {accuracy:.0%}")
    columns = ["samples", *[""] * _COLUMNS, "photos"]
    image_grid(rows, column_titles=columns, row_titles=titles, cell_height=64).save(path)


def _write_nearest(photos: RealPhotos, gan: JudgedGan, path: Path) -> None:
    """The samples that are nearest to a training photo, and as many at random, each with its nearest photos."""
    kept = np.flatnonzero(gan.judged.in_proportion)
    found = nearest(gan.judged.features[kept], photos.features, k=min(_NEIGHBOURS, len(photos.features)))
    order = np.argsort(found.distances[:, 0], kind="stable")
    closest = order[:_NEAREST_ROWS]
    random = np.random.default_rng(0).permutation(len(kept))[:_NEAREST_ROWS]

    def row(number: int) -> list[npt.NDArray[np.uint8] | None]:
        return [gan.judged.images[kept[number]], *photos.dataset.images.read(found.rows[number])]

    rows = [[*row(near), None, *row(other)] for near, other in zip(closest, random, strict=True)]
    titles = [
        f"{found.distances[near, 0]:.2f} | {found.distances[other, 0]:.2f}"
        for near, other in zip(closest, random, strict=True)
    ]
    width = found.rows.shape[1]
    columns = ["nearest", "photos", *[""] * width, "random", "photos"]
    image_grid(rows, column_titles=columns, row_titles=titles, cell_height=72).save(path)


def _write_quiz(gan: JudgedGan, folder: Path, label: str, *, seed: int) -> None:
    """Samples of the largest categories in random order without names, and the answers beside."""
    generator = np.random.default_rng((seed, 9))
    names = _by_size(gan)[:_QUIZ_CATEGORIES]
    rows = np.concatenate([np.flatnonzero(gan.judged.categories == name)[:_QUIZ_EACH] for name in names])
    rows = generator.permutation(rows)
    lines = [rows[start : start + _QUIZ_EACH] for start in range(0, len(rows), _QUIZ_EACH)]
    letters = [chr(ord("A") + number) for number in range(len(lines))]
    columns = [str(number + 1) for number in range(_QUIZ_EACH)]
    grid = image_grid([list(gan.judged.images[line]) for line in lines], column_titles=columns, row_titles=letters)
    grid.save(folder / f"quiz-{label}.png")
    places = [
        f"{letter}{number + 1}" for letter, line in zip(letters, lines, strict=True) for number in range(len(line))
    ]
    answers = pl.DataFrame({"place": places, "category": gan.judged.categories[rows].tolist()})
    answers.write_csv(folder / f"quiz-{label}.csv")
