"""What a terminal shows beside results: log lines, progress bars and tables. Lines and bars go to stderr."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column, Table
from rich.text import Text

from tfdvbpr.terminal import PlainConsole, PlainFormatter
from tfdvbpr.text import printable

if TYPE_CHECKING:
    import keras

console = PlainConsole(stderr=True)

_log = logging.getLogger(__name__)
# Without a terminal there is no bar: a line is logged at this interval, also while nothing is counted.
_LINE_SECONDS = 30.0
_BAR_SECONDS = 0.5
# The time left follows from the speed of so many seconds before.
_SPEED_SECONDS = 120.0
_WIDE = 110  # columns of a terminal that has room for a longer bar
_PACKAGES = ("tfdvbpr", "tfdvbpr_export")


class LogHandler(logging.Handler):
    """Prints log lines through Rich, so that they stand above a progress bar; INFO without a level.

    A terminal gets lines broken between words, a file whole ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(PlainFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one record."""
        level = f"{record.levelname.capitalize()}: " if record.levelno > logging.INFO else ""
        console.print(f"{level}{self.format(record)}", soft_wrap=not console.is_terminal)


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


class _Count(ProgressColumn):
    """The part that is done, "120/5,000"; nothing before the total is known."""

    def render(self, task: Task) -> Text:
        """The text of one task."""
        return Text("" if task.total is None else f"{int(task.completed):,}/{int(task.total):,}", "progress.download")


class _TimeLeft(ProgressColumn):
    """The time that is left; before it is known, the time since the beginning."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """The text of one task."""
        if task.time_remaining is None or task.finished:
            return Text(f"{_time(task.elapsed or 0.0)} so far", "progress.elapsed")
        return Text(f"{_time(task.time_remaining)} left", "progress.remaining")


def _time(seconds: float) -> str:
    """Seconds as "0:01:05"."""
    return str(timedelta(seconds=round(seconds)))


def _columns(width: int) -> tuple[ProgressColumn, ...]:
    """Bar, count, time left and rate always fit into 80 columns; metrics take what is left, and are cut."""

    def whole() -> Column:
        return Column(no_wrap=True)

    return (
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=width // 4)),
        BarColumn(bar_width=30 if width >= _WIDE else 10, table_column=whole()),
        _Count(table_column=whole()),
        _TimeLeft(table_column=whole()),
        TextColumn("{task.fields[rate]}", markup=False, table_column=whole()),
        TextColumn(
            "{task.fields[metrics]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
        ),
    )


Update = Callable[[int, int, str, str], None]


@contextmanager
def _bar(description: str) -> Iterator[Update]:
    """A progress bar, or log lines at intervals without a terminal, or nothing under --quiet.

    Yields a function of (done, total, rate, metrics).
    """
    quiet = not _log.isEnabledFor(logging.INFO)
    with Progress(
        *_columns(console.width),
        console=console,
        transient=True,
        expand=True,
        disable=quiet or not console.is_terminal,
        speed_estimate_period=_SPEED_SECONDS,
    ) as progress:
        progress.add_task(description, total=None, rate="", metrics="")
        (task,) = progress.tasks

        def update(done: int, total: int, rate: str, metrics: str) -> None:
            progress.update(task.id, completed=done, total=total, rate=rate, metrics=metrics)

        with _lines(lambda: _line(task)):
            yield update


def _line(task: Task) -> str:
    """How a task stands, for a log."""
    if task.total is None:
        return f"{task.description}: {_time(task.elapsed or 0.0)} so far"
    left = "" if task.time_remaining is None else f"{_time(task.time_remaining)} left"
    count = f"{int(task.completed):,} of {int(task.total):,} ({task.percentage:.0f} %)"
    return f"{task.description}: " + ", ".join(filter(None, (count, left, task.fields["rate"], task.fields["metrics"])))


@contextmanager
def _lines(line: Callable[[], str]) -> Iterator[None]:
    """Logs a line every 30 s within the block, from a thread of its own, unless a terminal shows a bar."""
    if console.is_terminal:
        yield
        return
    ended = threading.Event()

    def log() -> None:
        while not ended.wait(_LINE_SECONDS):
            _log.info("%s", line())

    thread = threading.Thread(target=log, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def counting(description: str) -> Iterator[Callable[[int, int], None]]:
    """A bar over things that are counted; yields a function of (done, total)."""
    with _bar(description) as update:
        yield lambda done, total: update(done, total, "", "")


@contextmanager
def status(description: str) -> Iterator[None]:
    """A spinner beside a description while something runs."""
    if console.is_terminal and _log.isEnabledFor(logging.INFO):
        with console.status(description):
            yield
    else:
        began = time.monotonic()
        _log.info("%s", description)
        with _lines(lambda: f"{description}: {_time(time.monotonic() - began)} so far"):
            yield


@contextmanager
def training(description: str) -> Iterator[list[keras.callbacks.Callback]]:
    """A bar over training steps with the time left, images/s and losses; yields the callbacks that move it."""
    import keras

    with _bar(description) as update:
        shown = 0.0

        def show(number: int, logs: Mapping[str, float]) -> None:
            nonlocal shown
            if time.monotonic() - shown < _BAR_SECONDS:
                return
            shown, progress = time.monotonic(), callback.params["progress"]
            losses = (f"{name} {value:.3f}" for name, value in progress.losses().items())
            metrics = (f"epoch {progress.epoch + 1}", *losses, f"input wait {progress.input_wait:.0%}")
            rate = f"{progress.images_per_second:,.0f} images/s"
            update(progress.total_steps, progress.epochs * progress.steps_per_epoch, rate, ", ".join(metrics))

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
