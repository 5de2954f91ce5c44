"""JSON lines as tables of strings in which every bad line is named."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from tfdvbpr.data.preparation.rows import TableBuilder, is_text, printable, without_empty
from tfdvbpr.data.preparation.source import Quarantine
from tfdvbpr.errors import SourceError

Record = dict[str, Any]


def read_jsonl(
    path: Path, fields: dict[str, Callable[[Record], Any]], *, required: tuple[str, ...], quarantine: Quarantine
) -> pl.DataFrame:
    """Reads a file of one JSON object a line, line by line, with line numbers in the column `ROW`.

    Lines that are no JSON object, no UTF-8, or have nothing in a required column go to the quarantine; blank lines
    carry no row. A value that is neither text nor a number counts as nothing.

    Args:
        path: the file; read through gzip if its name ends in .gz.
        fields: from a column's name to what finds its value in a line's object.
        required: columns that must be filled.

    Raises:
        SourceError: if the file is compressed and damaged: how much is lost cannot be known.
    """
    table = TableBuilder(list(fields))
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode("utf-8"))
            if not isinstance(record, dict):
                raise ValueError(f"a JSON {type(record).__name__} where an object must be")
            values = [_as_text(find(record)) for find in fields.values()]
        except UnicodeDecodeError:
            detail = "not UTF-8 text"
        except (ValueError, RecursionError) as error:
            detail = str(error)
        else:
            table.add(number, values)
            continue
        value = line[:1000].decode("utf-8", "backslashreplace").rstrip("\r\n")
        quarantine.add(path.name, number, value, kind="malformed row", detail=detail)
    return without_empty(table.build(), path.name, required, quarantine)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        try:
            for line in file:
                number += 1
                yield number, line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SourceError(
                f"{path.name} must be whole. It cannot be read after line {number}: {error}. Fetch it again."
            ) from None


def _as_text(value: Any) -> str | None:
    """Text stripped, numbers written out, anything else None.

    Raises:
        ValueError: if it holds NUL or a lone surrogate, which no table can keep.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    if not is_text(text):
        raise ValueError(f"not UTF-8 text in {printable(text)[:100]!r}")
    return text
