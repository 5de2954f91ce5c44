"""The tables of a source folder: CSV, JSON lines or parquet, compressed or not, under names in any case."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl

from tfdvbpr.data.preparation.columns import Columns
from tfdvbpr.data.preparation.csv_table import read_csv
from tfdvbpr.data.preparation.json_lines import read_json_table
from tfdvbpr.data.preparation.parquet_table import read_parquet_table
from tfdvbpr.data.preparation.rows import ROW as ROW  # a column of every table that is read here
from tfdvbpr.data.preparation.rows import without_empty
from tfdvbpr.data.preparation.source import Quarantine, TableFacts
from tfdvbpr.errors import SourceError

_log = logging.getLogger(__name__)

_Reader = Callable[[Path, Quarantine, Columns], pl.DataFrame]


def _parquet(path: Path, quarantine: Quarantine, columns: Columns) -> pl.DataFrame:
    facts = quarantine.tables[path.name] = TableFacts(name=path.name)
    return read_parquet_table(path, facts, columns)


def _csv(path: Path, quarantine: Quarantine, columns: Columns) -> pl.DataFrame:
    return read_csv(path, quarantine, columns=columns)


def _json(path: Path, quarantine: Quarantine, columns: Columns) -> pl.DataFrame:
    return read_json_table(path, quarantine, columns=columns)


# By the ending of the name; the first that is there is read.
_READERS: dict[str, _Reader] = {".parquet": _parquet, ".csv": _csv, ".tsv": _csv, ".jsonl": _json, ".ndjson": _json}


def read_table(
    folder: Path,
    name: str,
    *,
    required: tuple[str, ...],
    quarantine: Quarantine,
    filled: tuple[str, ...] | None = None,
    columns: Columns | None = None,
) -> pl.DataFrame:
    """Reads a table of a folder as strings, with the source's line number in the column `ROW`.

    It is `name` with the ending .parquet, .csv, .tsv, .jsonl or .ndjson, each but the first perhaps with .gz or .zst
    behind, or a folder `name` of parquet files. Rows with another number of fields than the header, with bytes that are
    no text, or with nothing in a required column go to the quarantine.

    Args:
        folder: where it is.
        name: file name without its ending.
        required: columns that must be there.
        filled: of them, those that must have a value in every row; left out, all.
        columns: columns to keep; left out, all under their own names, but for the case of those that are required.

    Raises:
        SourceError: if there is no such file, it cannot be read at all, or a required column is missing from its
            header.
    """
    return read_table_file(
        find_table(folder, name), required=required, quarantine=quarantine, filled=filled, columns=columns
    )


def read_table_file(
    path: Path,
    *,
    required: tuple[str, ...],
    quarantine: Quarantine,
    filled: tuple[str, ...] | None = None,
    columns: Columns | None = None,
) -> pl.DataFrame:
    """Reads a file, or a folder of parquet files, by the ending of its name; see `read_table`.

    Raises:
        SourceError: if there is no such file, it cannot be read, or a column is missing.
    """
    if not path.exists():
        raise SourceError(
            f"There must be a .csv, .jsonl or .parquet file with the columns {', '.join(required)}. There is no {path}."
        )
    columns = replace(columns or Columns(required), required=required)
    read = _parquet if path.is_dir() else _READERS[_ending(path.name) or ".csv"]
    table = read(path, quarantine, columns)
    return without_empty(table, path.name, required, quarantine, filled=filled)


def _ending(name: str) -> str | None:
    """A key of `_READERS`, None for what is no table."""
    plain = name.casefold().removesuffix(".gz").removesuffix(".zst")
    return next((ending for ending in _READERS if plain.endswith(ending)), None)


def table_names(name: str) -> list[str]:
    """The names that a table may have, in the order in which they are taken; the last is a folder's."""
    packed = [name + ending + after for ending in _READERS if ending != ".parquet" for after in ("", ".gz", ".zst")]
    return [f"{name}.parquet", *packed, name]


def find_table(folder: Path, name: str) -> Path:
    """The file or folder of a table; where there are several, parquet, else CSV, and a warning says so.

    Raises:
        SourceError: if there is none.
    """
    names = table_names(name)
    listed = sorted(folder.iterdir())
    files = [path for path in listed if path.is_file() and path.name.casefold() in names]
    files.sort(key=lambda path: names.index(path.name.casefold()))
    folders = [path for path in listed if path.is_dir() and path.name.casefold() in (name, f"{name}.parquet")]
    found = [*files, *(path for path in folders if next(path.rglob("*.parquet"), None))]
    if not found:
        near = [path.name for path in listed if path.name.casefold().startswith(name.rstrip("s"))]
        has = f"has {', '.join(near)[:300]}, which is none of these" if near else "has neither"
        raise SourceError(
            f"The source must hold {name}.csv or {name}.parquet (or .tsv or .jsonl, also with .gz or .zst behind). "
            f"{folder} {has}."
        )
    if len(found) > 1:
        _log.warning("%s is read; %s beside it is not", found[0].name, ", ".join(path.name for path in found[1:]))
    return found[0]
