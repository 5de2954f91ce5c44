"""The demo's report: one HTML file that carries its own pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
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
from tfdvbpr.demo.gallery import Gallery
from tfdvbpr.demo.serving_check import ServingCheck
from tfdvbpr.demo.taste_check import TasteCheck
from tfdvbpr.designing.sample import SAMPLES_NAME
from tfdvbpr.run import HISTORY_NAME, GanRun, Run

_TEMPLATE = "report.html.jinja"
_INK, _ACCENT, _SECOND = "#33302c", "#b4462f", "#3b6a8f"


def render(
    *,
    dataset: PreparedDataset,
    figures: Sequence[Mapping[str, Any]],
    runs: Mapping[str, Run],
    gan: GanRun,
    gallery: Gallery,
    tastes: TasteCheck,
    serving: ServingCheck,
    seconds: float,
) -> str:
    """The page as HTML, with every picture inside it.

    Args:
        dataset: of the demo.
        figures: of every run, on the test split.
        runs: by model name.
        gan: the generator's run.
        gallery: pictures of several users.
        tastes: designs against known tastes.
        serving: served answers against the ones in Python.
        seconds: what this pass of the demo took.
    """
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
                "rows": {
                    "liked": _pictures(user.liked),
                    "recommended": _pictures(user.recommended),
                    "random": _pictures(user.random),
                    "designed": _pictures(user.designed),
                },
                "preferences": [f"{value:+.2f}" for value in user.preferences],
                "grid": _file(user.grid),
            }
            for user in gallery.users
        ],
        samples=_file(gan.path / SAMPLES_NAME),
        training_curve=_training_curve(_history(runs["dvbpr"].path)),
        gan_curve=_gan_curve(_history(gan.path)),
        tastes=tastes,
        serving=serving,
    )


def summary(tastes: TasteCheck, serving: ServingCheck) -> str:
    """The two checks in two lines, for the terminal."""
    verdict = "equal" if serving.equal else "[bold red]NOT equal[/bold red]"
    return (
        f"Favourite colours show in {tastes.designs} of {tastes.num_users} designs and in {tastes.random} random "
        f"pictures (exact McNemar test, one-sided: p = {tastes.p_value:.2g}).\n"
        f"Served answers are {verdict} to those in Python (scores {serving.score:.1e}, pixels {serving.pixels}/255)."
    )


def _history(folder: Path) -> pl.DataFrame:
    return pl.read_csv(folder / HISTORY_NAME)


def _training_curve(history: pl.DataFrame) -> str:
    figure, axes = _axes("Training of DVBPR")
    axes.plot(history["epoch"] + 1, history["loss"], color=_SECOND, label="training loss (nats)")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss", color=_SECOND)
    looks = history.drop_nulls("validation_auc")
    right = axes.twinx()
    right.spines[["top", "left"]].set_visible(False)
    right.plot(looks["epoch"] + 1, looks["validation_auc"], color=_ACCENT, marker="o", markersize=3)
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


def _pictures(images: npt.NDArray[np.uint8]) -> list[str]:
    return [_png(image) for image in images]


def _png(image: npt.NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return _data("image/png", buffer.getvalue())


def _file(path: Path) -> str:
    return _data("image/png", path.read_bytes())


def _data(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
