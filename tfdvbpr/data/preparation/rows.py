"""Rows of text: a table of strings that grows row by row, and rows that lack what they must have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from tfdvbpr.data.preparation.source import Quarantine

ROW = "__row__"
_CHUNK_ROWS = 1 << 16


class TableBuilder:
    """A table of strings with line numbers; rows leave Python for polars every 65,536."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._schema = {**dict.fromkeys(self.columns, pl.String), ROW: pl.Int64}
        self._frames = [pl.DataFrame(schema=self._schema)]
        self._rows: list[tuple[Any, ...]] = []

    def add(self, number: int, values: Sequence[str | None]) -> None:
        """Adds one row: its line number, and a value a column."""
        self._rows.append((*values, number))
        if len(self._rows) >= _CHUNK_ROWS:
            self.extend(pl.DataFrame(schema=self._schema))

    def extend(self, frame: pl.DataFrame) -> None:
        """Adds many rows; columns as the builder's, and `ROW`."""
        if self._rows:
            self._frames.append(pl.DataFrame(self._rows, schema=self._schema, orient="row"))
            self._rows = []
        self._frames.append(frame.select(*self.columns, ROW))

    def build(self) -> pl.DataFrame:
        """All rows in the order in which they were added."""
        self.extend(pl.DataFrame(schema=self._schema))
        return pl.concat(self._frames)


def is_text(value: str) -> bool:
    """Whether UTF-8 without NUL can hold the value; lone surrogates stand for bytes that are no text."""
    return "\x00" not in value and (value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value))


def printable(value: str) -> str:
    """The value with escapes for what is no text, for the quarantine."""
    return value.encode("utf-8", "backslashreplace").decode()


def without_empty(
    table: pl.DataFrame,
    name: str,
    required: tuple[str, ...],
    quarantine: Quarantine,
    *,
    filled: tuple[str, ...] | None = None,
) -> pl.DataFrame:
    """The rows with something in every column of `filled` or else `required`; the others are quarantined."""
    filled = required if filled is None else filled
    empty = pl.any_horizontal(pl.col(column).is_null() | (pl.col(column) == "") for column in filled)
    for row in table.filter(empty).iter_rows(named=True):
        columns = [column for column in filled if not row[column]]
        value = ",".join(str(row[column] or "") for column in required)
        detail = f"nothing in {', '.join(columns)}"
        quarantine.add(name, row[ROW], value, kind="malformed row", detail=detail, item_id=row.get("item_id") or "")
    return table.filter(~empty)
