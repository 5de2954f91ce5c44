"""The console and the log lines of every command: text from outside reaches a terminal as plain text."""

from __future__ import annotations

import logging
from typing import Any

from rich.console import Console
from rich.text import Text

from tfdvbpr.text import printable

_LAYOUT = "\n\t"


class PlainConsole(Console):
    """A Rich console that reads no markup, emoji or numbers in text, and prints control characters as escapes.

    This holds for what is printed, and for cells, headings and titles of tables. Text is styled by `rich.text.Text`,
    whose contents go through `tfdvbpr.text.printable` first where they come from outside.

    Example:
        >>> PlainConsole().print("[bold]dress[/]")
        [bold]dress[/]
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Renders a string as it is; newlines and tabs lay it out."""
        return super().render_str(printable(text, keep=_LAYOUT), **{**options, "markup": False, "emoji": False})


class PlainFormatter(logging.Formatter):
    """Formats a log message as one printable line; a traceback after it keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line of one record."""
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback where there is one."""
        return printable(super().format(record), keep=_LAYOUT)
