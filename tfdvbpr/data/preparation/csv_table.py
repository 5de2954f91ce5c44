"""CSV in blocks: polars reads the plain ones, the csv module the rest row by row, with the same result."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from tfdvbpr.data.preparation.quarantine import Quarantine
from tfdvbpr.data.preparation.rows import ROW, TableBuilder, is_text, printable
from tfdvbpr.errors import SourceError

_FIRST_BLOCK, _BLOCK = 1 << 16, 1 << 24
_BOM = b"\xef\xbb\xbf"
# What polars takes otherwise than the csv module and str.strip: quotes, NUL, the separators of ASCII.
_NOT_PLAIN = (b'"', b"\x00", b"\x1c", b"\x1d", b"\x1e", b"\x1f")


def read_csv(
    path: Path, quarantine: Quarantine, *, only: Collection[str] | None = None, block_bytes: int = _BLOCK
) -> pl.DataFrame:
    """Reads a CSV file with a header as stripped strings, with line numbers in the column `ROW`.

    Rows with another number of fields than the header or with bytes that are no UTF-8 go to the quarantine; blank
    lines carry no row.

    Args:
        path: the file.
        quarantine: where bad rows are listed.
        only: columns to keep, of those that are there; left out, all.
        block_bytes: bytes read at once.

    Raises:
        SourceError: if there is no header, or it names a column twice.
    """
    table: _Table | None = None
    line = 0
    for piece in _pieces(path, block_bytes):
        if table is not None and isinstance(piece, bytes) and _is_plain(piece, len(table.header)):
            line += table.add_plain(piece, line)
            continue
        stream = io.BytesIO(piece) if isinstance(piece, bytes) else piece
        before = line
        for line, fields in _rows(path.name, stream, before, quarantine):
            if fields is not None and table is not None:
                table.add(line, fields, quarantine)
            elif fields is not None:
                table = _Table(path.name, fields, only)
    if table is None:
        raise SourceError(f"{path.name} must start with a header line. The file is empty.")
    return table.builder.build()


class _Table:
    """The rows below one header."""

    def __init__(self, name: str, fields: list[str], only: Collection[str] | None) -> None:
        self.name = name
        self.header = [field.strip() for field in fields]
        if len(set(self.header)) != len(self.header):
            raise SourceError(f"{name} must name each column once. Received {', '.join(self.header)[:300]}.")
        self._kept = [
            number for number, column in enumerate(self.header) if column != ROW and (only is None or column in only)
        ]
        self.builder = TableBuilder([self.header[number] for number in self._kept])

    def add(self, line: int, fields: list[str], quarantine: Quarantine) -> None:
        if len(fields) != len(self.header):
            detail = f"{len(fields)} fields where the header has {len(self.header)}"
            quarantine.add(self.name, line, ",".join(fields), kind="malformed row", detail=detail)
        else:
            self.builder.add(line, [fields[number].strip() for number in self._kept])

    def add_plain(self, block: bytes, before: int) -> int:
        """Adds a block that `_is_plain`, which follows `before` lines, and returns how many lines it has."""
        rows = pl.read_csv(
            io.BytesIO(block),
            has_header=False,
            columns=self._kept or [0],  # no column at all would tell no number of rows
            quote_char=None,
            infer_schema=False,
        )
        numbers = pl.int_range(before + 1, before + 1 + pl.len(), dtype=pl.Int64).alias(ROW)
        rows.columns = list(self.builder.columns) or [self.header[0]]
        self.builder.extend(rows.with_columns(pl.all().fill_null("").str.strip_chars(), numbers))
        return rows.height


def _pieces(path: Path, block_bytes: int) -> Iterator[bytes | io.BufferedReader]:
    """Blocks of whole lines; from the first quote on, the open file, since a quoted field may span lines."""
    with path.open("rb") as file:
        if file.read(len(_BOM)) != _BOM:
            file.seek(0)
        size = min(_FIRST_BLOCK, block_bytes)
        start = file.tell()
        while block := _whole_lines(file, size):
            if b'"' in block:
                file.seek(start)
                yield file
                return
            yield block
            start, size = file.tell(), block_bytes


def _whole_lines(file: BinaryIO, size: int) -> bytes:
    block = file.read(size)
    return block if block.endswith(b"\n") else block + file.readline()


def _is_plain(block: bytes, num_columns: int) -> bool:
    """Whether every line is text, simply split at its commas, with a field a column."""
    if num_columns < 2 or any(byte in block for byte in _NOT_PLAIN) or block.count(b"\r") != block.count(b"\r\n"):
        return False
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return False
    letters = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(letters))
    commas = np.diff(np.searchsorted(np.flatnonzero(letters == ord(",")), ends), prepend=0)
    longest = np.diff(ends, prepend=-1).max()
    return bool((commas == num_columns - 1).all() and longest <= csv.field_size_limit())


def _rows(
    name: str, stream: io.BufferedReader | io.BytesIO, before: int, quarantine: Quarantine
) -> Iterator[tuple[int, list[str] | None]]:
    """(line number, fields) of every row that is text; None for blank lines and for what is quarantined."""
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    raw: list[str] = []

    def lines() -> Iterator[str]:
        for line in text:
            raw.append(line)
            yield line

    reader = csv.reader(lines())
    while True:
        raw.clear()
        try:
            fields = next(reader)
        except StopIteration:
            text.detach()  # the file is closed by whoever opened it
            return
        except csv.Error as error:
            quarantine.add(name, before + reader.line_num, "", kind="malformed row", detail=str(error))
            yield before + reader.line_num, None
            continue
        line = before + reader.line_num
        joined = "".join(fields)
        if not any(map(str.strip, raw)):
            yield line, None  # a blank line carries no row
        elif not is_text(joined):
            quarantine.add(name, line, printable(joined), kind="malformed row", detail="not UTF-8 text")
            yield line, None
        else:
            yield line, fields
