"""Progress bars and tables in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

console = Console(stderr=True)


@contextmanager
def counting(description: str) -> Iterator[Callable[[int, int], None]]:
    """A bar over things that are counted; yields a function of (done, in all)."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=None)

        def count(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield count


@contextmanager
def training(description: str) -> Iterator[tuple[Callable[[Any], None], Callable[[str], None]]]:
    """A bar over training steps with losses, images/s and the time left.

    Yields an observer for the loop and a function that prints a line above the bar.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=None, figures="")

        def observe(report: Any) -> None:
            losses = " ".join(f"{name} {value:.4f}" for name, value in report.losses.items())
            speed = f"{report.images_per_second:.0f} images/s, input wait {report.input_wait:.0%}"
            figures = f"epoch {report.epoch + 1} {losses} {speed}"
            progress.update(task, completed=report.step, total=report.num_steps, figures=figures)

        yield observe, progress.console.print


def figure(value: float | None) -> str:
    """A metric with four decimals, or a dash where there is none."""
    return "–" if value is None else f"{value:.4f}"


def metrics_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The figures of several runs, one a column."""
    table = Table(title=f"{rows[0]['dataset']}, {rows[0]['split']}" if rows else None)
    table.add_column("")
    for row in rows:
        table.add_column(row["model"], justify="right")
    if rows:
        table.add_row("users", *(str(row["num_users"]) for row in rows))
        for kind in rows[0]["auc"]:
            table.add_row(f"AUC {kind}", *(figure(row["auc"][kind]) for row in rows))
            table.add_row("  95 %", *(interval(row["auc_interval"][kind]) for row in rows), style="dim")
        for name in [name for name in rows[0] if "@" in name or name == "mrr"]:
            table.add_row(name, *(figure(row.get(name)) for row in rows))
        for kind in rows[0].get("legacy_sampled", {}).get("auc", {}):
            told = (figure(row["legacy_sampled"]["auc"][kind]) for row in rows)
            table.add_row(f"authors' sampled AUC {kind}", *told)
    return table


def comparison_table(comparison: Any, titles: Sequence[str]) -> Table:
    """One model a row: mean ± spread over seeds, and below it the 95 % interval over users.

    Args:
        comparison: an `evaluation.compare.Comparison`.
        titles: of its metrics, for people.
    """
    table = Table(title=f"{comparison.dataset}, {comparison.split}", show_lines=True)
    for heading in ("model", "seeds", *titles):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for model in comparison.models:
        cells = [comparison.cell(model, metric) for metric in comparison.metrics]
        table.add_row(model, str(cells[0]["seeds"]), *map(_compared, cells))
    return table


def _compared(cell: Mapping[str, Any]) -> str:
    if cell["mean"] is None:
        return figure(None)
    spread = "" if cell["seed_sd"] is None else f" ± {cell['seed_sd']:.4f}"
    mean = f"[bold green]{figure(cell['mean'])}[/bold green]" if cell["best"] else figure(cell["mean"])
    return f"{mean}{spread}\n[dim]{interval((cell['low'], cell['high']))}[/dim]"


def interval(ends: Sequence[float] | None) -> str:
    """The ends of a confidence interval, or a dash where there is none."""
    return "–" if ends is None else f"{ends[0]:.3f}–{ends[1]:.3f}"


def facts_table(title: str, facts: Mapping[str, object]) -> Table:
    """Two columns: what, and how much."""
    table = Table(title=title, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in facts.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    return table


def plain_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """The first column to the left, the others to the right; whole numbers with separators."""
    table = Table()
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row))
    return table


def profile_table(profile: Any) -> Table:
    """Where the time of a training step goes.

    Args:
        profile: a `training.profile.StepProfile`.
    """
    table = plain_table(("one step", "ms", "of the step"), profile.rows())
    table.title = f"{profile.pictures:,} pictures a step"
    table.caption = "Input is drawn beside the step and costs time only where it takes longer than the step."
    return table
