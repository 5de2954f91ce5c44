"""CSV files as tables of strings in which every bad row is named."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from tfdvbpr.data.preparation.rows import ROW, TableBuilder, is_text, printable
from tfdvbpr.data.preparation.source import Quarantine, TableFacts
from tfdvbpr.errors import SourceError

_MOST_LISTED = 100
_MOSTLY, _SOME_ROWS, _MANY_ROWS = 0.8, 5, 20
_FIRST_BLOCK, _BLOCK = 1 << 16, 1 << 24
_BOM = b"\xef\xbb\xbf"
# What polars takes otherwise than the csv module and str.strip: quotes, NUL, the separators of ASCII.
_NOT_PLAIN = (b'"', b"\x00", b"\x1c", b"\x1d", b"\x1e", b"\x1f")


# pyarrow.csv would not do: it numbers no row that it keeps, and an unclosed quote swallows the rest of the file unseen.
def read_csv(
    path: Path, quarantine: Quarantine, *, only: Collection[str] | None = None, block_bytes: int = _BLOCK
) -> pl.DataFrame:
    """Reads a CSV file with a header as stripped strings, with line numbers in the column `ROW`.

    Rows with another number of fields than the header, with bytes that are no UTF-8 or with a quote that is not closed
    go to the quarantine; blank lines carry no row.

    Args:
        only: columns to keep, of those that are there; left out, all.
        block_bytes: bytes read at once.

    Raises:
        SourceError: if there is no header, or it names a column twice.
    """
    table: _Table | None = None
    line = 0
    facts = quarantine.tables[path.name] = TableFacts(name=path.name, encoding="utf-8", delimiter=",")
    for piece in _pieces(path, block_bytes):
        if table is not None and isinstance(piece, bytes) and _is_plain(piece, len(table.header)):
            line += table.add_plain(piece, line)
            continue
        stream = io.BytesIO(piece) if isinstance(piece, bytes) else piece
        before = line
        for line, fields in _rows(
            facts, stream, before, quarantine, num_columns=0 if table is None else len(table.header)
        ):
            if fields is not None and table is not None:
                table.add(line, fields, quarantine)
            elif fields is not None:
                table = _Table(path.name, fields, only)
    if table is None:
        raise SourceError(f"{path.name} must start with a header line. The file is empty.")
    rows = table.builder.build()
    facts.num_lines, facts.num_rows = line, rows.height
    return rows


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
        self._id = self.header.index("item_id") if "item_id" in self.header else None
        self.builder = TableBuilder([self.header[number] for number in self._kept])

    def add(self, line: int, fields: list[str], quarantine: Quarantine) -> None:
        if len(fields) != len(self.header):
            detail = f"{len(fields)} fields where the header has {len(self.header)}"
            item_id = fields[self._id].strip() if self._id is not None and self._id < len(fields) else ""
            quarantine.add(self.name, line, ",".join(fields), kind="malformed row", detail=detail, item_id=item_id)
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


class _Lines(Iterator[str]):
    """Lines of a text; those of a record that turns out broken can be read again."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._waiting: deque[str] = deque()
        self.taken: list[str] = []

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else self._text.readline()
        if not line:
            raise StopIteration
        self.taken.append(line)
        return line

    def put_back_all_but_the_first(self) -> None:
        """Puts back what was taken since `taken` was last cleared."""
        self._waiting.extendleft(reversed(self.taken[1:]))


def _rows(
    facts: TableFacts,
    stream: io.BufferedReader | io.BytesIO,
    before: int,
    quarantine: Quarantine,
    *,
    num_columns: int,
) -> Iterator[tuple[int, list[str] | None]]:
    """(line number, fields) of every row that is text; None for blank lines and for what is quarantined.

    Where a quote is never closed, or swallows rows, its line alone is quarantined and the following lines are rows of
    their own.

    Args:
        num_columns: of the header; 0 where the stream begins with it.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    lines = _Lines(text)
    reader, line = csv.reader(lines), before
    while True:
        lines.taken.clear()
        fields: list[str] = []
        detail, runaway = "", False
        try:
            fields = next(reader)
        except StopIteration:
            text.detach()  # the file is closed by whoever opened it
            return
        except csv.Error as error:
            detail = str(error)
        value = "".join(fields)
        if len(lines.taken) > 1 and (detail or not _is_one_record(lines.taken)):
            value, detail, runaway = lines.taken[0].rstrip("\r\n"), "a quote that is not closed", True
        elif swallows_rows(lines.taken, num_columns):
            detail = f"a quote that is closed {len(lines.taken) - 1} lines below, after what look like rows"
            value, runaway = lines.taken[0].rstrip("\r\n"), True
        if runaway:
            lines.put_back_all_but_the_first()
            line += 1
            facts.num_runaway_cells += 1
            facts.runaway_cells += [line] if len(facts.runaway_cells) < _MOST_LISTED else []
        else:
            line += len(lines.taken)
            facts.num_lines_in_cells += max(len(lines.taken) - 1, 0)
            if not detail and not any(map(str.strip, lines.taken)):
                yield line, None  # a blank line carries no row
                continue
            if not is_text(value):
                detail = "not UTF-8 text"
        if detail:
            quarantine.add(facts.name, line, printable(value), kind="malformed row", detail=detail)
        elif not num_columns:
            num_columns = len(fields)
        yield line, None if detail else fields


def swallows_rows(lines: list[str], num_columns: int) -> bool:
    """Whether the lines below a record's first one are rows: a quote was opened there by mistake."""
    below = [line for line in lines[1:] if line.strip()]
    rows = [line for line in below if line.count(",") == num_columns - 1]
    if num_columns < 2 or not rows or len(rows) < _MOSTLY * len(below):
        return False
    shape = _shape(lines[0])
    alike = sum(_shape(line) == shape for line in rows) >= _MOSTLY * len(rows)
    return len(rows) >= _MANY_ROWS or (num_columns > 2 and len(rows) >= _SOME_ROWS) or ("9" in shape and alike)


def _shape(line: str) -> str:
    """The form of a line's first field: `a9` for i17 and sku004."""
    first = line.partition(",")[0].strip().strip('"')
    return re.sub("[^\\W\\d_]+", "a", re.sub(r"\d+", "9", first))


def _is_one_record(lines: list[str]) -> bool:
    try:
        return len(list(csv.reader(lines, strict=True))) == 1
    except csv.Error:
        return False
