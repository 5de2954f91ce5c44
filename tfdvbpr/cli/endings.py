"""How trainings and designing end: their figures, and the next command to run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from tfdvbpr.cli import progress
from tfdvbpr.cli.options import out
from tfdvbpr.text import printable, shortened

if TYPE_CHECKING:
    from rich.table import Table

    from tfdvbpr.run import GanRun, Run

_LONGEST = 28


def print_next(*commands: Sequence[object]) -> None:
    """Prints what to run next, each on a line of its own that can be copied."""
    out.print("Next:")
    for command in commands:
        out.print(printable("  " + shlex.join(str(part) for part in command)), soft_wrap=True)


def beside(path: Path, ending: str) -> Path:
    """A path beside another one: runs/dvbpr and "report" give runs/dvbpr-report."""
    return path.with_name(f"{path.name}-{ending}")


def recommender_figures(run: Run) -> dict[str, Any]:
    """What a training reached: epochs and, where it was validated, the kept epoch's figures."""
    about = run.manifest
    found: dict[str, Any] = {
        "run": str(run.path),
        "model": about.model,
        "users": about.num_users,
        "items": about.num_items,
        "training_seconds": about.training_seconds,
    }
    history, metric = _history(run.path), f"validation_{run.config.stop_metric}"
    if metric in history.columns and (rows := history.drop_nulls(metric)).height:
        best = rows.row(int(rows[metric].arg_max() or 0), named=True)
        found |= {"epochs": history.height, "kept_epoch": int(best["epoch"]) + 1}
        found |= {name: value for name, value in best.items() if name.startswith("validation_") or name == "loss"}
    return found


def gan_figures(run: GanRun) -> dict[str, Any]:
    """What a GAN's training reached: its steps and the means of its last epoch."""
    history = _history(run.path)
    last = history.row(-1, named=True) if history.height else {}
    names = ("step", "generator_loss", "discriminator_loss", "real_accuracy", "fake_accuracy", "pull")
    return {
        "run": str(run.path),
        "categories": len(run.trained_categories),
        "categories_left_out": len(run.manifest.categories) - len(run.trained_categories),
        "training_seconds": run.manifest.training_seconds,
        **{name: last[name] for name in names if last.get(name) is not None},
    }


def upscaler_figures(run: GanRun) -> dict[str, Any]:
    """What an upscaler's training reached: its steps and the means of its last epoch."""
    from tfdvbpr.run.gan_run import UPSCALING_FOLDER

    height, width = run.shown_size
    history = _history(run.path / UPSCALING_FOLDER)
    last = history.row(-1, named=True) if history.height else {}
    names = ("step", "generator_loss", "discriminator_loss", "real_accuracy", "fake_accuracy", "pull", "kept")
    found = {name: last[name] for name in names if last.get(name) is not None}
    return {"run": str(run.path), "images": f"{height}x{width}", **found}


def _history(folder: Path) -> pl.DataFrame:
    from tfdvbpr.run.folder import HISTORY_NAME

    path = folder / HISTORY_NAME
    return pl.read_csv(path, glob=False) if path.is_file() and path.stat().st_size else pl.DataFrame()


def figures_table(title: str, figures: dict[str, Any]) -> Table:
    """Figures as two columns: names in words, floats in four digits."""

    def text(value: Any) -> object:
        return f"{value:.4g}" if isinstance(value, float) else value

    return progress.facts_table(title, {name.replace("_", " "): text(value) for name, value in figures.items()})


def designs_table(about: dict[str, Any]) -> Table:
    """A row a design, from designs.json."""
    rows = [
        (
            row["file"],
            f"{row['preference']:+.2f}",
            f"{row['preference'] - row['initial_preference']:+.2f}",
            f"{row['realism']:+.2f}",
            f"{row['novelty']:.2f}",
            shortened(row["nearest_items"][0]["item_id"], _LONGEST),
        )
        for row in about["designs"]
    ]
    headings = ("design", "preference", "gain", "realism", "novelty", "nearest item")
    return progress.plain_table(headings, rows, title=f"Designs of the category {about['category']}")
