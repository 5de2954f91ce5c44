"""What is seen while waiting: a bar that fits, or lines without a terminal."""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Iterator

import pytest
from waiting import wait_until as until

from tfdvbpr.cli import progress
from tfdvbpr.terminal import PlainConsole

METRICS = "epoch 12, loss 0.431, penalty 0.012, generator_loss 1.234, discriminator_loss 1.1, input wait 3%"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlainConsole]:
    """A console that takes itself for a terminal and writes into memory."""
    console = PlainConsole(stderr=True)
    console.file = io.StringIO()
    console._force_terminal = True
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "console", console)
    return console


def _bar(console: PlainConsole, width: int) -> str:
    """One line of a bar over training steps, without colours."""
    console.width = width
    bar = progress.Progress(*progress._columns(width), console=console, expand=True)
    bar.add_task("Training hybrid-dvbpr", total=123_456, completed=23_456, rate="12,345 images/s", metrics=METRICS)
    with console.capture() as captured:
        console.print(bar.get_renderable())
    lines = [line for line in progress.Text.from_ansi(captured.get()).plain.splitlines() if line.strip()]
    assert len(lines) == 1
    return lines[0].rstrip()


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_bar_count_time_and_rate_fit_and_metrics_take_what_is_left(terminal: PlainConsole, width: int) -> None:
    line = _bar(terminal, width)
    assert len(line) <= width
    for part in ("━", "23,456/123,456", "so far", "12,345 images/s"):
        assert part in line, (part, line)
    places = [line.index(part) for part in ("━", "23,456/123,456", "so far", "12,345 images/s")]
    assert places == sorted(places)
    assert ("epoch 12" in line) == (width > 80)
    assert (METRICS in line) == (width == 200)


def test_without_a_terminal_a_line_comes_at_intervals(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.005)
    caplog.set_level("INFO", "tfdvbpr")
    with progress._bar("Training dvbpr") as update:
        until(lambda: "Training dvbpr: 0:00:00 so far" in caplog.messages)
        update(10, 400, "80 images/s", "epoch 1, loss 0.5")
        wanted = ("Training dvbpr: 10 of 400 (2 %)", "80 images/s, epoch 1, loss 0.5")
        until(lambda: caplog.messages[-1].startswith(wanted[0]) and caplog.messages[-1].endswith(wanted[1]))
    with progress.status("Designing"):
        until(lambda: caplog.messages[-1] == "Designing: 0:00:00 so far")
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_the_time_left_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(0, 1000, 10))
    bar = progress.Progress(*progress._columns(80), disable=True, get_time=lambda: float(next(seconds)))
    bar.add_task("Reading", total=None, rate="", metrics="")
    (task,) = bar.tasks
    for done in (1, 2, 3, 4):
        bar.update(task.id, completed=done, total=10)
    assert progress._line(task) == "Reading: 4 of 10 (40 %), 0:01:00 left"
    assert os.linesep not in progress._line(task)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_gets_lines_broken_between_words_and_a_file_whole_ones(
    terminal: PlainConsole, is_terminal: bool
) -> None:
    terminal._force_terminal, terminal.width = is_terminal, 40
    line = "Categories with fewer than 20 images are left out: belts (6), socks (6)."
    progress.LogHandler().emit(logging.makeLogRecord({"msg": line, "levelno": logging.INFO, "levelname": "INFO"}))
    shown = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert shown.split() == line.split()
    assert max(map(len, shown.splitlines())) == (
        len(line) if not is_terminal else len("Categories with fewer than 20 images are")
    )
