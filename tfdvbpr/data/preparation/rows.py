"""What the readers of CSV and of JSON lines share: what counts as text, and tables that grow by chunks."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tfdvbpr.data.preparation.quarantine import Quarantine

ROW = "__row__"
_CHUNK_ROWS = 1 << 16


class TableBuilder:
    """A table of strings with line numbers; rows leave Python for polars every 65,536.

    Args:
        columns: the names, in order.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._schema = {**dict.fromkeys(self.columns, pl.String), ROW: pl.Int64}
        self._frames = [pl.DataFrame(schema=self._schema)]
        self._values: list[list[str | None]] = [[] for _ in self.columns]
        self._numbers: list[int] = []

    def add(self, number: int, values: Sequence[str | None]) -> None:
        """One row: its line number, and a value a column."""
        self._numbers.append(number)
        for column, value in zip(self._values, values, strict=True):
            column.append(value)
        if len(self._numbers) >= _CHUNK_ROWS:
            self._flush()

    def extend(self, frame: pl.DataFrame) -> None:
        """Many rows at once; columns as the builder's, and `ROW`."""
        self._flush()
        self._frames.append(frame.select(*self.columns, ROW))

    def build(self) -> pl.DataFrame:
        """All rows in the order they came."""
        self._flush()
        return pl.concat(self._frames)

    def _flush(self) -> None:
        if self._numbers:
            data = {**dict(zip(self.columns, self._values, strict=True)), ROW: self._numbers}
            self._frames.append(pl.DataFrame(data, schema=self._schema))
            self._values = [[] for _ in self.columns]
            self._numbers = []


def is_text(value: str) -> bool:
    """False for NUL and for what UTF-8 cannot hold: lone surrogates, and the bytes they stand for."""
    return "\x00" not in value and (value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value))


def printable(value: str) -> str:
    """The value with what is no text spelt out, for the quarantine."""
    return value.encode("utf-8", "backslashreplace").decode()


def without_empty(table: pl.DataFrame, name: str, required: tuple[str, ...], quarantine: Quarantine) -> pl.DataFrame:
    """The rows with something in every required column; the others are quarantined."""
    empty = pl.any_horizontal(pl.col(column).is_null() | (pl.col(column) == "") for column in required)
    for row in table.filter(empty).iter_rows(named=True):
        columns = [column for column in required if not row[column]]
        value = ",".join(str(row[column] or "") for column in required)
        quarantine.add(name, row[ROW], value, kind="malformed row", detail=f"nothing in {', '.join(columns)}")
    return table.filter(~empty)
