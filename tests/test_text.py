"""Untrusted text where it is shown: every character that does more than stand there is escaped."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import jinja2
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from rich.table import Table

from tfdvbpr.files import write_csv
from tfdvbpr.fonts import plot_text
from tfdvbpr.terminal import PlainConsole, PlainFormatter
from tfdvbpr.text import csv_cell, markdown, one_line, printable, shortened

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_printable_text_can_be_printed_on_one_line(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    shown.encode("utf-8")
    assert printable(shown) == shown


@pytest.mark.parametrize("text", ["robe d'été", "夏の ワンピース", "می‌خواهم", "👩‍👩‍👧", "C:\\x1b", "R&D, 5 < 6, a_b"])
def test_text_without_control_characters_stays(text: str) -> None:
    assert printable(text) == text
    assert csv_cell(text) == text


def test_escapes_are_those_of_repr() -> None:
    assert printable("a\x1b[2Jb\nc\u202ed\x9b") == r"a\x1b[2Jb\nc\u202ed\x9b"
    assert printable("a\n\x1b", keep="\n") == "a\n\\x1b"
    assert one_line("a\n  b\x1b") == "a b\\x1b"
    assert shortened("a\x1bbcdefgh", 6) == "a\\x1b…"


@pytest.mark.parametrize(
    "text",
    [
        "<script>x</script>",
        "<!--",
        "[a](javascript:b)",
        "![a](http://b)",
        "a|b",
        "`a`",
        "**a**",
        "__init__",
        "~~a~~",
        "&lt;b&gt;",
        "# a",
        "> a",
        "- a",
        "a\n\n# b",
        "*a*_b_",
        "\\<b>",
    ],
)
def test_markdown_shows_the_text_itself(text: str) -> None:
    """By CommonMark's rules: a backslash before punctuation, or an entity, is that character and nothing else."""
    shown = markdown(text)
    bare = re.sub(r"\\[!-/:-@\[-`{-~]|&(lt|amp);", "", shown)
    assert not re.search(r"[`*\[\]|~]|<[A-Za-z/!?]|(?<![^\W_])_|_(?![^\W_])|^[>#-]", bare)
    read = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", shown.replace("&lt;", "<").replace("&amp;", "&"))
    assert read == printable(text)


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", " =1+1", "=cmd|' /C calc'!A0", "-"])
def test_a_formula_is_text_in_a_csv_file(text: str, tmp_path: Path) -> None:
    write_csv(pl.DataFrame({"number": [1.5], "id": [text], "none": [None]}), tmp_path / "x.csv")
    again = pl.read_csv(tmp_path / "x.csv", infer_schema=False)
    assert again.row(0) == ("1.5", f"'{text}", None)
    write_csv(again, tmp_path / "x.csv")  # a table that is read, extended and written again
    assert pl.read_csv(tmp_path / "x.csv", infer_schema=False).row(0) == again.row(0)


@pytest.mark.parametrize("text", ["-1.5", "+3", "1e-7", "a=b", "u-17", ""])
def test_numbers_and_plain_ids_stay_as_they_are_in_a_csv_file(text: str) -> None:
    assert csv_cell(text) == text


@pytest.mark.parametrize("text", ["$x^$", r"$\frac$", "a$b", "$$", "\\$"])
def test_matplotlib_reads_no_mathematics(text: str) -> None:
    figure = Figure()
    figure.suptitle(plot_text(text))
    figure.canvas.draw()


@given(ANY_TEXT)
def test_a_console_prints_what_it_is_given(text: str) -> None:
    console = PlainConsole()
    with console.capture() as captured:
        console.print(text, soft_wrap=True)
        table = Table(printable(text), title=text)
        table.add_row(text)
        console.print(table)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", captured.get())


def test_markup_and_emoji_are_no_more_than_text() -> None:
    console = PlainConsole()
    with console.capture() as captured:
        console.print("[/] [bold]x[/bold] :smile:")
    assert captured.get() == "[/] [bold]x[/bold] :smile:\n"


def test_a_log_line_is_one_line() -> None:
    record = logging.LogRecord("tfdvbpr", logging.INFO, "", 0, "%s is kept", ("a\nWarning: b\x1b[2J",), None)
    assert PlainFormatter("x: %(message)s").format(record) == r"x: a\nWarning: b\x1b[2J is kept"


def test_the_reports_template_escapes_html() -> None:
    """The demo's page is rendered with autoescape; nothing in it is marked as safe."""
    from importlib.resources import files

    template = (files("tfdvbpr.demo") / "report.html.jinja").read_text(encoding="utf-8")
    assert "safe" not in {name for _, kind, name in jinja2.Environment().lex(template) if kind == "name"}
