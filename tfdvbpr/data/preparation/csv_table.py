"""CSV files as tables of strings in which every bad row is named."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from tfdvbpr.data.preparation.columns import Columns
from tfdvbpr.data.preparation.rows import ROW, TableBuilder, is_text, printable
from tfdvbpr.data.preparation.source import Quarantine, TableFacts
from tfdvbpr.data.preparation.text_files import open_text
from tfdvbpr.errors import SourceError

_MOST_LISTED = 100
_MOSTLY, _SOME_ROWS, _MANY_ROWS = 0.8, 5, 20
_FIRST_BLOCK, _BLOCK = 1 << 16, 1 << 24
_DELIMITERS = (",", ";", "\t", "|")
_NAMED_DELIMITER = re.compile(r"\s*\"?sep=([,;|\t:])\"?\s*", re.IGNORECASE)  # a first line of Excel's
_MOST_COMPARED = 100
_SAVE_AS_UTF8 = "Save the file as UTF-8."
# What polars takes otherwise than the csv module and str.strip: quotes, NUL, the separators of ASCII.
_NOT_PLAIN = (b'"', b"\x00", b"\x1c", b"\x1d", b"\x1e", b"\x1f")


# pyarrow.csv would not do: it numbers no row that it keeps, and an unclosed quote swallows the rest of the file unseen.
def read_csv(
    path: Path, quarantine: Quarantine, *, columns: Columns | None = None, block_bytes: int = _BLOCK
) -> pl.DataFrame:
    """Reads a CSV file with a header as stripped strings, with line numbers in the column `ROW`.

    Encoding, compression and delimiter are found, and named in `quarantine.tables`. Rows with another number of fields
    than the header, with bytes that are no text or with a quote that is not closed go to the quarantine; blank lines
    carry no row.

    Args:
        columns: which columns to keep, and under which names; left out, all under their own.
        block_bytes: bytes read at once.

    Raises:
        SourceError: if there is no header, it names a column twice, or the file is damaged or no text.
    """
    facts = quarantine.tables[path.name] = TableFacts(name=path.name)
    file, sample = open_text(path, facts)
    reading = _Reading(facts, quarantine, columns or Columns(), *find_delimiter(sample))
    with file:
        for piece in _pieces(file, block_bytes):
            reading.add(piece)
    if reading.table is None:
        raise SourceError(f"{path.name} must start with a header line. The file is empty.")
    rows = reading.table.builder.build()
    facts.num_lines, facts.num_rows = reading.line, rows.height
    return rows


def find_delimiter(sample: str) -> tuple[str, int]:
    """The delimiter of a text's first line, and how many lines stand before the header.

    It is what the header has most outside quotes, and of equals that which the following lines have as often. A first
    line such as `sep=;` names it.
    """
    lines = list(islice(filter(_has_text, io.StringIO(sample, newline=None)), _MOST_COMPARED))
    if lines and (named := _NAMED_DELIMITER.fullmatch(lines[0])):
        return named[1], 1
    counts = [Counter(re.sub(r'"[^"]*"', "", line)) for line in lines]

    def likely(delimiter: str) -> tuple[int, int]:
        return counts[0][delimiter], sum(each[delimiter] == counts[0][delimiter] for each in counts)

    return max(_DELIMITERS, key=likely) if lines else ",", 0


def _has_text(line: str) -> bool:
    return bool(line.strip()) and is_text(line)


class _Reading:
    """The rows of a file as they come, in pieces."""

    def __init__(
        self, facts: TableFacts, quarantine: Quarantine, columns: Columns, delimiter: str, lines_before: int
    ) -> None:
        self.facts, self.quarantine, self.columns = facts, quarantine, columns
        self.delimiter, self._lines_before = delimiter, lines_before
        self.line = 0
        facts.delimiter = delimiter
        self.table: _Table | None = None

    def add(self, piece: bytes | io.BufferedReader) -> None:
        """Adds a block of whole lines, or all that is left of the file."""
        if self.table is not None and isinstance(piece, bytes) and self.table.is_plain(piece):
            self.line += self.table.add_plain(piece, self.line)
            return
        stream = io.BytesIO(piece) if isinstance(piece, bytes) else piece
        for line, fields in _rows(self, stream):
            self.line = line
            if fields is None:
                continue
            if self.table is not None:
                self.table.add(line, fields, self.quarantine)
            elif self._lines_before:
                self._lines_before -= 1
            else:
                self.table = _Table(self.facts, fields, self.columns, self.delimiter)


class _Table:
    """The rows below one header."""

    def __init__(self, facts: TableFacts, fields: Sequence[str], columns: Columns, delimiter: str) -> None:
        names = columns.names(fields, facts)
        self._name, self._delimiter, self.num_columns = facts.name, delimiter, len(names)
        self._kept = [number for number, name in enumerate(names) if name is not None]
        self._id = names.index("item_id") if "item_id" in names else None
        self.builder = TableBuilder([name for name in names if name is not None])

    def add(self, line: int, fields: list[str], quarantine: Quarantine) -> None:
        if len(fields) != self.num_columns:
            detail = f"{len(fields)} fields where the header has {self.num_columns}"
            item_id = fields[self._id].strip() if self._id is not None and self._id < len(fields) else ""
            quarantine.add(
                self._name, line, self._delimiter.join(fields), kind="malformed row", detail=detail, item_id=item_id
            )
        else:
            self.builder.add(line, [fields[number].strip() for number in self._kept])

    def is_plain(self, block: bytes) -> bool:
        """Whether every line is text, simply split at its delimiters, with a field a column."""
        if (
            self.num_columns < 2
            or any(byte in block for byte in _NOT_PLAIN)
            or block.count(b"\r") != block.count(b"\r\n")
        ):
            return False
        try:
            block.decode("utf-8")
        except UnicodeDecodeError:
            return False
        letters = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(letters == ord("\n"))
        if not block.endswith(b"\n"):
            ends = np.append(ends, len(letters))
        splits = np.diff(np.searchsorted(np.flatnonzero(letters == ord(self._delimiter)), ends), prepend=0)
        longest = np.diff(ends, prepend=-1).max()
        return bool((splits == self.num_columns - 1).all() and longest <= csv.field_size_limit())

    def add_plain(self, block: bytes, before: int) -> int:
        """Adds a block that `is_plain`, which follows `before` lines, and returns how many lines it has."""
        rows = pl.read_csv(
            io.BytesIO(block),
            has_header=False,
            columns=self._kept or [0],  # no column at all would tell no number of rows
            separator=self._delimiter,
            quote_char=None,
            infer_schema=False,
        )
        numbers = pl.int_range(before + 1, before + 1 + pl.len(), dtype=pl.Int64).alias(ROW)
        rows.columns = list(self.builder.columns) or [""]
        self.builder.extend(rows.with_columns(pl.all().fill_null("").str.strip_chars(), numbers))
        return rows.height


def _pieces(file: BinaryIO, block_bytes: int) -> Iterator[bytes | io.BufferedReader]:
    """Blocks of whole lines; from the first quote on, all that is left, since a quoted field may span lines."""
    size = min(_FIRST_BLOCK, block_bytes)
    while block := _whole_lines(file, size):
        if b'"' in block:
            yield io.BufferedReader(_Joined(block, file), _FIRST_BLOCK)
            return
        yield block
        size = block_bytes


class _Joined(io.RawIOBase):
    """A block, and the rest of the file that it was read from."""

    def __init__(self, block: bytes, file: BinaryIO) -> None:
        self._parts = [io.BytesIO(block), file]

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Reads the next bytes."""
        while self._parts:
            if data := self._parts[0].read(len(buffer)):
                buffer[: len(data)] = data
                return len(data)
            del self._parts[0]
        return 0


def _whole_lines(file: BinaryIO, size: int) -> bytes:
    block = file.read(size)
    return block if block.endswith(b"\n") else block + file.readline()


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


def _rows(reading: _Reading, stream: io.BufferedReader | io.BytesIO) -> Iterator[tuple[int, list[str] | None]]:
    """(line number, fields) of every row that is text; None for blank lines and for what is quarantined.

    Where a quote is never closed, or swallows rows, its line alone is quarantined and the following lines are rows of
    their own.
    """
    facts, delimiter = reading.facts, reading.delimiter
    line = reading.line
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        lines.taken.clear()
        fields: list[str] = []
        detail, hint, runaway = "", "", False
        try:
            fields = next(reader)
        except StopIteration:
            text.detach()  # the file is closed by whoever opened it
            return
        except csv.Error as error:
            detail = str(error)
        value = "".join(fields)
        num_columns = 0 if reading.table is None else reading.table.num_columns
        if len(lines.taken) > 1 and (detail or not _is_one_record(lines.taken, delimiter)):
            value, detail, runaway = lines.taken[0].rstrip("\r\n"), "a quote that is not closed", True
        elif swallows_rows(lines.taken, num_columns, delimiter):
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
            if not detail and not any(each.strip() or delimiter in each for each in lines.taken):
                yield line, None  # a blank line carries no row
                continue
            if not is_text(value):
                detail, hint = f"not {(facts.encoding or '').upper()} text", _SAVE_AS_UTF8
        if detail:
            reading.quarantine.add(facts.name, line, printable(value), kind="malformed row", detail=detail, hint=hint)
        yield line, None if detail else fields


def swallows_rows(lines: list[str], num_columns: int, delimiter: str = ",") -> bool:
    """Whether the lines below a record's first one are rows: a quote was opened there by mistake."""
    below = [line for line in lines[1:] if line.strip()]
    rows = [line for line in below if line.count(delimiter) == num_columns - 1]
    if num_columns < 2 or not rows or len(rows) < _MOSTLY * len(below):
        return False
    shape = _shape(lines[0], delimiter)
    alike = sum(_shape(line, delimiter) == shape for line in rows) >= _MOSTLY * len(rows)
    return len(rows) >= _MANY_ROWS or (num_columns > 2 and len(rows) >= _SOME_ROWS) or ("9" in shape and alike)


def _shape(line: str, delimiter: str) -> str:
    """The form of a line's first field: `a9` for i17 and sku004."""
    first = line.partition(delimiter)[0].strip().strip('"')
    return re.sub("[^\\W\\d_]+", "a", re.sub(r"\d+", "9", first))


def _is_one_record(lines: list[str], delimiter: str) -> bool:
    try:
        return len(list(csv.reader(lines, delimiter=delimiter, strict=True))) == 1
    except csv.Error:
        return False
