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
            figures = f"epoch {report.epoch + 1} {losses} {report.images_per_second:.0f} images/s"
            progress.update(task, completed=report.step, total=report.num_steps, figures=figures)

        yield observe, progress.console.print


def figure(value: float | None) -> str:
    """A metric with four decimals, or a dash where there is none."""
    return "–" if value is None else f"{value:.4f}"


def metrics_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The figures of several runs, one a row."""
    table = Table(title=f"{rows[0]['dataset']}, {rows[0]['split']}" if rows else None)
    names = [name for name in rows[0] if "@" in name or name == "mrr"] if rows else []
    for heading in ("model", "users", "AUC all", "AUC cold", *names):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for row in rows:
        areas = row["auc"]
        figures = [figure(areas["all"]), figure(areas["cold"]), *(figure(row[name]) for name in names)]
        table.add_row(row["model"], str(row["num_users"]), *figures)
    return table


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
