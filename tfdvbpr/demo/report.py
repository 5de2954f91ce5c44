"""The demo's report: what several users liked, are recommended and would be designed, in one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tfdvbpr._version import __version__
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.grids import image_grid
from tfdvbpr.data.interactions import Split
from tfdvbpr.demo.checks import PreferenceCheck, ServingCheck, favourite_category
from tfdvbpr.designing.audience import Audience
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.folders import write_designs
from tfdvbpr.designing.sample import SAMPLES_NAME, sample_images, shown_images
from tfdvbpr.evaluation.designs.known_attributes import liked_names
from tfdvbpr.files import whole_file
from tfdvbpr.reporting.html import ACCENT, SECOND, axes, data_uri, png_uri, svg_uri
from tfdvbpr.reporting.html import render as render_page
from tfdvbpr.run import GanRun, Run
from tfdvbpr.run.folder import HISTORY_NAME

_TEMPLATE = "report.html.jinja"
_COLUMNS = 3
_MIN_LIKED = 6
_RANDOM_SEEDS = 2_000_000
_COLUMNS_OF_TABLE = {
    "auc all": "AUC all",
    "auc cold": "AUC cold",
    "recall@10": "recall@10",
    "ndcg@10": "NDCG@10",
}

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ShownUser:
    """One user's part of the report.

    Attributes:
        category: the one the user acted on most; designs are of it.
        known: in words, what the user is known to like there.
        images: by row of the report, uint8 [N, H, W, 3]: `liked` training items; `recommended`, best first, of the
            whole catalogue; `random` images of the generator, of `category`; `designed`, best first.
        preferences: float32 [N], θᵀΦ of the designs.
        grid: the image of the ascents from start to design.
    """

    user_id: str
    category: str
    known: str
    images: dict[str, Images]
    preferences: npt.NDArray[np.float32]
    grid: Path


def design_for_users(
    designer: Designer, dataset: PreparedDataset, truth: pl.DataFrame, output: Path, *, num_users: int, seed: int
) -> list[ShownUser]:
    """Designs for users of different categories: writes a folder for each, and `designs.png`, a grid of all.

    There are fewer than `num_users` if there are not enough categories.
    """
    sampled = _sample_users(designer, num_users=num_users, seed=seed)
    users = [
        _show(designer, dataset, truth, output, user=user, category=category, seed=seed)
        for category, user in sampled.items()
    ]
    columns = ("liked", "recommended", "designed")
    rows = [[image for name in columns for image in (*user.images[name], None)] for user in users]
    titles = [title for name in columns for title in (name, *[""] * _COLUMNS)]
    with whole_file(output / "designs.png") as scratch:
        grid = image_grid(rows, column_titles=titles, cell_height=128)
        grid.save(scratch)
    return users


def _sample_users(designer: Designer, *, num_users: int, seed: int) -> dict[str, int]:
    """Category to user row: random users with enough actions, one per category."""
    matrix = designer.run.interactions.matrix(Split.TRAIN)
    enough = np.flatnonzero(np.diff(matrix.indptr) >= _MIN_LIKED)
    sampled: dict[str, int] = {}
    for user in np.random.default_rng(seed).permutation(enough):
        category = favourite_category(designer.run, int(user), designer.gan_run.trained_categories)
        if category is not None:
            sampled.setdefault(category, int(user))
        if len(sampled) == num_users:
            break
    return sampled


def _show(
    designer: Designer,
    dataset: PreparedDataset,
    truth: pl.DataFrame,
    output: Path,
    *,
    user: int,
    category: str,
    seed: int,
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
        "random": sample_images(designer.gan_run, [category] * _COLUMNS, seeds=seeds, shown=True),
        "designed": shown_images(designer.gan_run, designs.images[0], [category] * len(designs.images[0])),
    }
    known = _known(truth.filter(pl.col("user_id") == user_id), category)
    return ShownUser(user_id, category, known, images, designs.preferences[0], folder / "grid.png")


def _known(user: pl.DataFrame, category: str) -> str:
    """What a user, one row of the truth, likes in a category: "red or teal; stripes; cut gown"."""
    liked = {name: " or ".join(of[0]) for name, of in liked_names(user, [category]).items()}
    return f"{liked['colour']}; {liked['pattern']}; cut {liked['cut']}"


def render(
    *,
    dataset: PreparedDataset,
    figures: Sequence[Mapping[str, Any]],
    runs: Mapping[str, Run],
    gan: GanRun,
    users: Sequence[ShownUser],
    preferences: PreferenceCheck,
    serving: ServingCheck,
    starts: int,
    seconds: float,
) -> str:
    """The page as HTML, with every image inside it; the figures are of every run on the test split."""
    return render_page(
        "tfdvbpr.demo",
        _TEMPLATE,
        version=__version__,
        today=date.today().isoformat(),
        seconds=seconds,
        about=dataset.manifest,
        aspect=f"{dataset.manifest.image_size[1]} / {dataset.manifest.image_size[0]}",
        starts=starts,
        figures=figures,
        columns=_COLUMNS_OF_TABLE,
        rows=[{"model": row["model"], **{name: _figure(row, name) for name in _COLUMNS_OF_TABLE}} for row in figures],
        best={name: _best(figures, name) for name in _COLUMNS_OF_TABLE},
        advice=advice(figures),
        runs=runs,
        gan=gan,
        users=[
            {
                "user_id": user.user_id,
                "category": user.category,
                "known": user.known,
                "rows": {name: [png_uri(image) for image in images] for name, images in user.images.items()},
                "preferences": [f"{value:+.2f}" for value in user.preferences],
                "grid": _file(user.grid),
            }
            for user in users
        ],
        samples=_file(gan.path / SAMPLES_NAME),
        training_curve=_training_curve(_history(runs["dvbpr"].path)),
        gan_curve=_gan_curve(_history(gan.path)),
        preferences=preferences,
        serving=serving,
    )


def _figure(row: Mapping[str, Any], name: str) -> float | None:
    """A metric of an evaluation in the form of metrics.json."""
    group, _, key = name.partition(" ")
    value: float | None = row[group][key] if key else row[group]
    return value


def _best(figures: Sequence[Mapping[str, Any]], name: str) -> str:
    """The model with the highest value of a metric; of equals the first."""
    return str(max(figures, key=lambda row: _figure(row, name) or 0.0)["model"])


def advice(figures: Sequence[Mapping[str, Any]]) -> str:
    """Which of the evaluated models is right for what, by their figures, in words."""
    top, cold, order = (_best(figures, name) for name in ("recall@10", "auc cold", "auc all"))
    by_model = {row["model"]: row for row in figures}

    def value(name: str, model: str) -> str:
        found = _figure(by_model[model], name)
        return "–" if found is None else f"{found:.3f}"

    lists = f"{top} for the top of a list (recall@10 {value('recall@10', top)})"
    new = f"{cold} for new and rarely bought items (AUC of cold items {value('auc cold', cold)})"
    whole = f"{order} for the order of the whole catalogue (AUC {value('auc all', order)})"
    needs = "Designs need dvbpr, the only one of them that learns from pixels."
    return f"By these figures take {lists}, {new} and {whole}. {needs}"


def summary(preferences: PreferenceCheck, serving: ServingCheck) -> str:
    """The two checks in a few lines, for the terminal."""
    verdict = "equal" if serving.equal else "NOT equal"
    lines = [
        f"A liked {name} shows in {test.designs} of {preferences.num_users} designs and in {test.random} random images "
        f"(exact McNemar test, one-sided, after Holm: p = {test.p_value:.2g})."
        for name, test in preferences.tests.items()
    ]
    served = f"(scores {serving.score:.1e}; pixels of designs after one step {serving.pixels}/255"
    served += f" and, as rounding grows, {serving.pixels_of_designs}/255 after all)"
    return "\n".join([*lines, f"Served answers are {verdict} to those in Python {served}."])


def _history(folder: Path) -> pl.DataFrame:
    return pl.read_csv(folder / HISTORY_NAME, glob=False)


def _training_curve(history: pl.DataFrame) -> str:
    figure, left = axes("Training of DVBPR")
    left.plot(history["epoch"] + 1, history["loss"], color=SECOND, label="training loss (nats)")
    left.set_xlabel("epoch")
    left.set_ylabel("loss", color=SECOND)
    validated = history.drop_nulls("validation_auc")
    right = left.twinx()
    right.spines[["top", "left"]].set_visible(False)
    right.plot(validated["epoch"] + 1, validated["validation_auc"], color=ACCENT, marker="o", markersize=3)
    right.set_ylabel("validation AUC", color=ACCENT)
    return svg_uri(figure)


def _gan_curve(history: pl.DataFrame) -> str:
    figure, left = axes("Training of the GAN")
    left.plot(history["epoch"] + 1, history["generator_loss"], color=ACCENT, label="generator")
    left.plot(history["epoch"] + 1, history["discriminator_loss"], color=SECOND, label="discriminator")
    left.set_xlabel("epoch")
    left.set_ylabel("loss")
    left.legend(frameon=False)
    return svg_uri(figure)


def _file(path: Path) -> str:
    return data_uri("image/png", path.read_bytes())
