"""The demo's report: what several users liked, are recommended and would be designed, in one HTML file."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image

from tfdvbpr._version import __version__
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.grids import image_grid
from tfdvbpr.data.interactions import Split
from tfdvbpr.demo.checks import ColourCheck, ServingCheck
from tfdvbpr.designing.audience import Audience
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.folders import write_designs
from tfdvbpr.designing.sample import SAMPLES_NAME, sample_images
from tfdvbpr.files import whole_file
from tfdvbpr.run import GanRun, Run
from tfdvbpr.run.folder import HISTORY_NAME

_TEMPLATE = "report.html.jinja"
_INK, _ACCENT, _SECOND = "#33302c", "#b4462f", "#3b6a8f"
_COLUMNS = 5
_MIN_LIKED = 6
_RANDOM_SEEDS = 2_000_000

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ShownUser:
    """One user's part of the report.

    Attributes:
        category: the one the user acted on most; designs are of it.
        images: by row of the report, uint8 [N, H, W, 3]: `liked` training items; `recommended`, best first, of the
            whole catalogue; `random` images of the generator, of `category`; `designed`, best first.
        preferences: float32 [N], θᵀΦ of the designs.
        grid: the image of the ascents from start to design.
    """

    user_id: str
    category: str
    images: dict[str, Images]
    preferences: npt.NDArray[np.float32]
    grid: Path


def design_for_users(
    designer: Designer, dataset: PreparedDataset, output: Path, *, num_users: int, seed: int
) -> list[ShownUser]:
    """Designs for users of different categories: writes a folder for each, and `designs.png`, a grid of all.

    There are fewer than `num_users` if there are not enough categories.
    """
    sampled = _sample_users(designer, dataset, num_users=num_users, seed=seed)
    users = [
        _show(designer, dataset, output, user=user, category=category, seed=seed) for category, user in sampled.items()
    ]
    columns = ("liked", "recommended", "designed")
    rows = [[image for name in columns for image in (*user.images[name], None)] for user in users]
    titles = [title for name in columns for title in (name, *[""] * _COLUMNS)]
    with whole_file(output / "designs.png") as scratch:
        grid = image_grid(rows, column_titles=titles, row_titles=[user.category for user in users], cell_height=64)
        grid.save(scratch)
    return users


def _sample_users(designer: Designer, dataset: PreparedDataset, *, num_users: int, seed: int) -> dict[str, int]:
    """Category to user row: random users with enough actions, one per category."""
    matrix = designer.run.interactions.matrix(Split.TRAIN)
    enough = np.flatnonzero(np.diff(matrix.indptr) >= _MIN_LIKED)
    sampled: dict[str, int] = {}
    for user in np.random.default_rng(seed).permutation(enough):
        liked = designer.run.seen_items(int(user), Split.TRAIN)
        category_id = Counter(dataset.items.category_ids[liked].tolist()).most_common(1)[0][0]
        sampled.setdefault(dataset.manifest.categories[category_id], int(user))
        if len(sampled) == num_users:
            break
    return sampled


def _show(
    designer: Designer, dataset: PreparedDataset, output: Path, *, user: int, category: str, seed: int
) -> ShownUser:
    run = designer.run
    user_id = run.user_ids[user]
    best = [row.item_id for row in run.recommend(user_id, k=_COLUMNS)]
    folder = output / user_id
    audience = Audience.user(user_id)
    designs = write_designs(
        designer,
        folder,
        audience,
        category=category,
        dataset=dataset,
        num_designs=_COLUMNS,
        seed=seed,
        if_exists="overwrite",
    )
    seeds = range(_RANDOM_SEEDS, _RANDOM_SEEDS + _COLUMNS)
    images = {
        "liked": dataset.images.read(run.seen_items(user, Split.TRAIN)[:_COLUMNS]),
        "recommended": dataset.images.read(run.items.indices(best)),
        "random": sample_images(designer.gan_run, [category] * _COLUMNS, seeds=seeds),
        "designed": designs.images[0],
    }
    return ShownUser(user_id, category, images, designs.preferences[0], folder / "grid.png")


def render(
    *,
    dataset: PreparedDataset,
    figures: Sequence[Mapping[str, Any]],
    runs: Mapping[str, Run],
    gan: GanRun,
    users: Sequence[ShownUser],
    colours: ColourCheck,
    serving: ServingCheck,
    seconds: float,
) -> str:
    """The page as HTML, with every image inside it; the figures are of every run on the test split."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((files("tfdvbpr.demo") / _TEMPLATE).read_text(encoding="utf-8"))
    return template.render(
        version=__version__,
        today=date.today().isoformat(),
        seconds=seconds,
        about=dataset.manifest,
        figures=figures,
        best={name: max(row["auc"][name] or 0.0 for row in figures) for name in ("all", "cold")},
        runs=runs,
        gan=gan,
        users=[
            {
                "user_id": user.user_id,
                "category": user.category,
                "rows": {name: [_png(image) for image in images] for name, images in user.images.items()},
                "preferences": [f"{value:+.2f}" for value in user.preferences],
                "grid": _file(user.grid),
            }
            for user in users
        ],
        samples=_file(gan.path / SAMPLES_NAME),
        training_curve=_training_curve(_history(runs["dvbpr"].path)),
        gan_curve=_gan_curve(_history(gan.path)),
        colours=colours,
        serving=serving,
    )


def summary(colours: ColourCheck, serving: ServingCheck) -> str:
    """The two checks in two lines, for the terminal."""
    verdict = "equal" if serving.equal else "NOT equal"
    return (
        f"Favourite colours show in {colours.designs} of {colours.num_users} designs and in {colours.random} random "
        f"images (exact McNemar test, one-sided: p = {colours.p_value:.2g}).\n"
        f"Served answers are {verdict} to those in Python (scores {serving.score:.1e}, pixels {serving.pixels}/255)."
    )


def _history(folder: Path) -> pl.DataFrame:
    return pl.read_csv(folder / HISTORY_NAME, glob=False)


def _training_curve(history: pl.DataFrame) -> str:
    figure, axes = _axes("Training of DVBPR")
    axes.plot(history["epoch"] + 1, history["loss"], color=_SECOND, label="training loss (nats)")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss", color=_SECOND)
    validated = history.drop_nulls("validation_auc")
    right = axes.twinx()
    right.spines[["top", "left"]].set_visible(False)
    right.plot(validated["epoch"] + 1, validated["validation_auc"], color=_ACCENT, marker="o", markersize=3)
    right.set_ylabel("validation AUC", color=_ACCENT)
    return _svg(figure)


def _gan_curve(history: pl.DataFrame) -> str:
    figure, axes = _axes("Training of the GAN")
    axes.plot(history["epoch"] + 1, history["generator_loss"], color=_ACCENT, label="generator")
    axes.plot(history["epoch"] + 1, history["discriminator_loss"], color=_SECOND, label="discriminator")
    axes.set_xlabel("epoch")
    axes.set_ylabel("LSGAN loss")
    axes.legend(frameon=False)
    return _svg(figure)


def _axes(title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, color=_INK, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return _data("image/svg+xml", buffer.getvalue())


def _png(image: npt.NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return _data("image/png", buffer.getvalue())


def _file(path: Path) -> str:
    return _data("image/png", path.read_bytes())


def _data(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
