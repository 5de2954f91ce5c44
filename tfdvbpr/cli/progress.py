"""What a terminal shows beside results: log lines, progress bars and tables. Lines and bars go to stderr."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from tfdvbpr.terminal import PlainConsole, PlainFormatter
from tfdvbpr.text import printable

if TYPE_CHECKING:
    import keras

console = PlainConsole(stderr=True)

_log = logging.getLogger(__name__)
# Without a terminal there is no bar: a line is logged at this interval.
_LINE_SECONDS = 30.0
_BAR_SECONDS = 0.5
_PACKAGES = ("tfdvbpr", "tfdvbpr_export")


class LogHandler(logging.Handler):
    """Prints log lines through Rich, so that they stand above a progress bar; INFO without a level."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(PlainFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one record."""
        level = f"{record.levelname.capitalize()}: " if record.levelno > logging.INFO else ""
        console.print(f"{level}{self.format(record)}", soft_wrap=True)


def install_log_handler(*, level: int) -> Callable[[], None]:
    """Shows log lines of this project's packages from a level on; the function it returns puts back what was before."""
    handler, before = LogHandler(), {name: logging.getLogger(name).level for name in _PACKAGES}
    for name in _PACKAGES:
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(level)

    def remove() -> None:
        for name, former in before.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(former)

    return remove


@contextmanager
def _bar(description: str, *columns: ProgressColumn) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar, or log lines at intervals without a terminal, or nothing under --quiet.

    Yields a function of (done, total, figures).
    """
    quiet = not _log.isEnabledFor(logging.INFO)
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task(description, total=None, figures="")
        logged = time.monotonic()

        def update(done: int, total: int, figures: str) -> None:
            nonlocal logged
            progress.update(task, completed=done, total=total, figures=figures)
            if not console.is_terminal and time.monotonic() - logged >= _LINE_SECONDS:
                logged = time.monotonic()
                _log.info("%s: %d of %d%s", description, done, total, figures and f", {figures}")

        yield update


@contextmanager
def counting(description: str) -> Iterator[Callable[[int, int], None]]:
    """A bar over things that are counted; yields a function of (done, total)."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with _bar(description, *columns) as update:
        yield lambda done, total: update(done, total, "")


@contextmanager
def status(description: str) -> Iterator[None]:
    """A spinner beside a description while something runs."""
    if console.is_terminal and _log.isEnabledFor(logging.INFO):
        with console.status(description):
            yield
    else:
        _log.info("%s", description)
        yield


@contextmanager
def training(description: str) -> Iterator[list[keras.callbacks.Callback]]:
    """A bar over training steps with losses, images/s and the time left; yields the callbacks that move it."""
    import keras

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeRemainingColumn(),
    )
    with _bar(description, *columns) as update:
        shown = 0.0

        def show(number: int, logs: Mapping[str, float]) -> None:
            nonlocal shown
            if time.monotonic() - shown < _BAR_SECONDS:
                return
            shown, progress = time.monotonic(), callback.params["progress"]
            losses = " ".join(f"{name} {value:.4f}" for name, value in progress.losses().items())
            speed = f"{progress.images_per_second:.0f} images/s, input wait {progress.input_wait:.0%}"
            figures = f"epoch {progress.epoch + 1} {losses} {speed}"
            update(progress.total_steps, progress.epochs * progress.steps_per_epoch, figures)

        callback = keras.callbacks.LambdaCallback(on_train_batch_end=show)
        yield [callback]


def facts_table(title: str, facts: Mapping[str, object]) -> Table:
    """Two columns: what, and how much."""
    table = plain_table(("", ""), list(facts.items()), title=title)
    table.show_header = False
    return table


def plain_table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> Table:
    """The first column to the left, the others to the right; whole numbers with separators.

    A cell is one line of plain text, or a `Text` with its own style.
    """
    table = Table(title=title and printable(title))
    for number, heading in enumerate(headings):
        table.add_column(printable(heading), justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(value: object) -> str | Text:
    if isinstance(value, Text):
        return value
    return f"{value:,}" if isinstance(value, int) else printable(str(value))


def profile_table(profile: Any) -> Table:
    """The time of each part of a training step, from a `training.engine.tensorboard.StepProfile`."""
    table = plain_table(("one step", "ms", "of the step"), profile.rows())
    table.title = f"{profile.images:,} images a step"
    table.caption = "Input is prepared beside the step and costs time only where it takes longer than the step."
    return table
