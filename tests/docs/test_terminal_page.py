"""The captures of the terminal, which tests/benchmarks/terminal_captures.py makes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "terminal.md"
CAPTURES = re.findall(
    r"^At (\d+) columns:\n\n```text\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
)


def test_four_commands_at_two_widths() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)$", text, flags=re.MULTILINE) == ["prepare", "train", "train-gan", "design"]
    assert [int(columns) for columns, _ in CAPTURES] == [80, 140] * 4


@pytest.mark.parametrize(("columns", "shown"), CAPTURES)
def test_a_capture_fits_its_terminal(columns: str, shown: str) -> None:
    assert max(map(len, shown.splitlines())) <= int(columns)
    assert shown.replace("\n", "").isprintable()
    assert "Traceback" not in shown


@pytest.mark.parametrize(("columns", "shown"), CAPTURES[2:6])
def test_bar_count_time_and_rate_come_first(columns: str, shown: str) -> None:
    bar = shown.splitlines()[0]
    assert re.match(r"Training .* ━.* \d+/\d+ +\d+:\d\d:\d\d (left|so far) +[\d,.]+ images/s", bar), bar
