"""A source that is refused: why, and what is written beside the output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl

from tfdvbpr.data.dataset import HEALTH_NAME, QUARANTINE_NAME
from tfdvbpr.data.preparation.health import HealthReport
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.data.preparation.source import Source
from tfdvbpr.errors import SourceError


def refuse(health: HealthReport, options: PrepareOptions) -> None:
    """Ends where nothing is left, or an error of the health checks is not allowed.

    Raises:
        SourceError: with the first error, what to do, and how many more there are.
    """
    errors = health.errors_left(options.allow)
    if errors:
        first, *others = errors
        more = f" Further errors: {', '.join(each.check for each in others)}." if others else ""
        raise SourceError(f"{first.title} {first.advice}{more}")


def check_left(source: Source, table: pl.DataFrame, what: str) -> None:
    """Ends where a table is empty.

    Raises:
        SourceError: with the counts of what was left out.
    """
    if table.height == 0:
        raise SourceError(f"The source must hold at least one usable {what}. Left out: {source.quarantine.summary()}.")


def refused_folder(output: Path) -> Path:
    """Where the reasons go when a source is refused."""
    return output.with_name(f"{output.name}.refused")


@contextmanager
def refused_beside(output: Path, source: Source, health: HealthReport) -> Iterator[None]:
    """Where the source is refused within the block, writes why beside the output."""
    try:
        yield
    except SourceError as error:
        beside = refused_folder(output)
        beside.mkdir(exist_ok=True)
        source.quarantine.write(beside / QUARANTINE_NAME)
        health.write(beside / HEALTH_NAME)
        raise SourceError(f"{error} Every row that is left out: {beside / QUARANTINE_NAME}") from None


def forget_refusal(output: Path) -> None:
    """Removes what an earlier, refused preparation wrote beside the output."""
    beside = refused_folder(output)
    for name in (QUARANTINE_NAME, HEALTH_NAME):
        (beside / name).unlink(missing_ok=True)
    with suppress(OSError):  # the user may keep files of theirs there
        beside.rmdir()
