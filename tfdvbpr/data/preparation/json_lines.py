"""JSON lines as tables of strings in which every bad line is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from tfdvbpr.data.preparation.columns import Columns
from tfdvbpr.data.preparation.rows import ROW, TableBuilder, is_text, printable, without_empty
from tfdvbpr.data.preparation.source import Quarantine, TableFacts
from tfdvbpr.data.preparation.text_files import open_text
from tfdvbpr.errors import SourceError

Record = dict[str, Any]
Values = TypeVar("Values")

_CHUNK_ROWS = 1 << 14
_MOST_KEYS = 1000


def read_jsonl(
    path: Path, fields: dict[str, Callable[[Record], Any]], *, required: tuple[str, ...], quarantine: Quarantine
) -> pl.DataFrame:
    """Reads a file of one JSON object a line, line by line, with line numbers in the column `ROW`.

    Lines that are no JSON object, no text, or have nothing in a required column go to the quarantine; blank lines
    carry no row. A value that is neither text nor a number counts as nothing.

    Args:
        path: the file; it may be compressed by gzip or zstd.
        fields: from a column's name to what finds its value in a line's object.
        required: columns that must be filled.

    Raises:
        SourceError: if the file is compressed and damaged: how much is lost cannot be known.
    """
    table = TableBuilder(list(fields))
    for number, values in _rows(path, lambda record: [_as_text(find(record)) for find in fields.values()], quarantine):
        table.add(number, values)
    return without_empty(_counted(table.build(), path, quarantine), path.name, required, quarantine)


def read_json_table(path: Path, quarantine: Quarantine, *, columns: Columns) -> pl.DataFrame:
    """Reads a file of one JSON object a line as a table whose columns are the objects' keys; see `read_jsonl`.

    Lists and objects within an object are not read; true and false are text.

    Raises:
        SourceError: as `read_jsonl`; or if there are more than 1,000 keys, or two for one column.
    """
    frames = [pl.DataFrame(schema={ROW: pl.Int64})]
    keys: dict[str, None] = {}
    rows: list[Record] = []

    def add() -> None:
        if len(keys) > _MOST_KEYS:
            raise SourceError(
                f"{path.name} must have at most {_MOST_KEYS:,} keys. It has {len(keys):,}. Export it as a table."
            )
        schema = {**dict.fromkeys(keys, pl.String), ROW: pl.Int64}
        frames.append(pl.DataFrame(rows, schema=schema, orient="row"))

    for number, values in _rows(path, _plain_values, quarantine):
        keys.update(dict.fromkeys(values))
        rows.append({**values, ROW: number})
        if len(rows) >= _CHUNK_ROWS:
            add()
            rows = []
    add()
    table = pl.concat(frames, how="diagonal")
    facts = quarantine.tables[path.name]
    names = dict(zip(keys, columns.names(list(keys), facts), strict=True))
    kept = [pl.col(key).fill_null("").alias(name) for key, name in names.items() if name is not None]
    return _counted(table.select(*kept, ROW), path, quarantine)


def _counted(table: pl.DataFrame, path: Path, quarantine: Quarantine) -> pl.DataFrame:
    quarantine.tables[path.name].num_rows = table.height
    return table


def _rows(path: Path, values: Callable[[Record], Values], quarantine: Quarantine) -> Iterator[tuple[int, Values]]:
    """Line number and values of each line that is a JSON object; the others are quarantined."""
    facts = quarantine.tables[path.name] = TableFacts(name=path.name)
    file, _ = open_text(path, facts)
    with file:
        for number, line in enumerate(file, start=1):
            facts.num_lines = number
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8"))
                if not isinstance(record, dict):
                    raise ValueError(f"a JSON {type(record).__name__} where an object must be")
                row = values(record)
            except UnicodeDecodeError:
                detail = f"not {(facts.encoding or '').upper()} text"
            except (ValueError, RecursionError) as error:
                if isinstance(error, SourceError):
                    raise
                detail = str(error)
            else:
                yield number, row
                continue
            value = line[:1000].decode("utf-8", "backslashreplace").rstrip("\r\n")
            quarantine.add(path.name, number, value, kind="malformed row", detail=detail)


def _plain_values(record: Record) -> dict[str, str | None]:
    """The values that are not nested, as text, by stripped key."""
    values = {}
    for key, value in record.items():
        name = _as_text(key)
        if name and name != ROW and not isinstance(value, list | dict):
            values[name] = str(value).lower() if isinstance(value, bool) else _as_text(value)
    return values


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
