"""How untrusted text is shown: ids, titles, category names and file names in terminals, Markdown and CSV files.

A catalogue's text may hold terminal escape sequences, markup of Rich, Markdown or HTML and formulas of spreadsheets.
What is shown passes through one of these functions; what is stored and looked up stays as it is. `tfdvbpr.terminal`
applies `printable` to everything that a command prints; text of images and plots passes through `tfdvbpr.fonts`.
"""

from __future__ import annotations

import re

# Control characters, invisible direction marks, line separators, lone surrogates, invisible tags. Joiners stay: Persian
# and emoji need them.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
# An underscore within a word is no emphasis, "a < b" no HTML and "R&D" no entity.
_MARKDOWN = re.compile(r"[\\`*\[\]|]|^[>#+-]|~|<(?=[A-Za-z/!?])|&(?=#|\w+;)|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = {"<": "&lt;", "&": "&amp;"}
_FORMULA = ("=", "+", "-", "@")
# What `csv_cell` may change, in the regular expressions of Polars.
CSV_UNSAFE = r"^\s*[=+\-@]|[\p{C}\p{Zl}\p{Zp}]"
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def printable(text: str, *, keep: str = "") -> str:
    r"""The text with control characters as escapes such as `\x1b`, as `repr` writes them; all on one line.

    Args:
        text: from anywhere.
        keep: control characters that stay, such as a newline.

    Example:
        >>> printable("dress" + chr(27) + "[2J")
        'dress\\x1b[2J'
    """

    def escaped(found: re.Match[str]) -> str:
        character = found[0]
        return character if character in keep else repr(character)[1:-1]

    return _CONTROL.sub(escaped, text)


def one_line(text: str) -> str:
    """The text as one printable line, each run of white space a space."""
    return printable(" ".join(text.split()))


def shortened(text: str, length: int) -> str:
    """The printable text, cut to a length in characters with an ellipsis at its end.

    Example:
        >>> shortened("a very long name", 7)
        'a very…'
    """
    text = printable(text)
    return text if len(text) <= length else text[: length - 1] + "…"


def markdown(text: str) -> str:
    r"""The text as Markdown, also in a table's cell: without links, images, emphasis, code or HTML.

    Example:
        >>> markdown("<b>[x](y)|snake_case")
        '&lt;b>\\[x\\](y)\\|snake_case'
    """
    return _MARKDOWN.sub(lambda found: _ENTITIES.get(found[0], "\\" + found[0]), printable(text))


def csv_cell(text: str) -> str:
    """The text for a cell of a CSV file: what a spreadsheet would compute begins with an apostrophe; numbers stay.

    Example:
        >>> csv_cell("=1+1"), csv_cell("-1.5")
        ("'=1+1", '-1.5')
    """
    text = printable(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text
