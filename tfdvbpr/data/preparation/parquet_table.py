"""Parquet files from outside as tables of strings, measured before they are read: kilobytes may hold terabytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tfdvbpr.child import read_in_child
from tfdvbpr.data.preparation.columns import Columns
from tfdvbpr.data.preparation.parquet_parts import Part, find_parts, size_of
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import TableFacts
from tfdvbpr.errors import SourceError

# What a file may hold: so much, and so much for each of its bytes.
MOST_VALUES, VALUES_PER_BYTE = 1 << 24, 16
MOST_TEXT_BYTES, TEXT_BYTES_PER_BYTE = 1 << 28, 64
_BATCH_ROWS = 1 << 14


def read_parquet_table(path: Path, facts: TableFacts, columns: Columns) -> pl.DataFrame:
    """Reads the columns of a parquet file, or of a folder of them, that are not nested, as strings.

    A child process finds and measures the files first, with limited memory and time. A folder's files are read in the
    order of their names; see `tfdvbpr.data.preparation.parquet_parts`.

    Args:
        path: the file or folder.
        facts: `renamed` and `num_rows` are filled in.
        columns: which columns to keep, and under which names.

    Returns:
        The columns, and the row's number from 1 in the column `ROW`.

    Raises:
        SourceError: if it cannot be read, holds much more than its size, or the folder is of a table format whose
            files hold rows that were deleted.
    """
    with open(os.devnull, "wb") as unused:
        found = read_in_child(measure_parquet, path, unused.fileno(), num_bytes=size_of(path))
    parts = [Part(path / name, values) for name, values in found]
    tables = {part.path: _lazy(part) for part in parts}
    header = list(dict.fromkeys(name for table in tables.values() for name in table.collect_schema()))
    names = dict(zip(header, columns.names(header, facts), strict=True))
    kept = {theirs: ours for theirs, ours in names.items() if ours is not None}
    table = pl.concat([_collected(file, table, kept) for file, table in tables.items()], how="diagonal")
    facts.num_rows = table.height
    ours = [name for name in kept.values() if name in table.columns]
    return table.select(*ours, pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW))


def _lazy(part: Part) -> pl.LazyFrame:
    """The columns that are not nested as strings, and those that have one value for the file."""
    try:
        table = pl.scan_parquet(part.path, glob=False)
        plain = [name for name, kind in table.collect_schema().items() if not kind.is_nested()]
    except Exception as error:  # polars raises its own tree
        raise _unreadable(part.path, error) from None
    beside = {name: value for name, value in part.values.items() if name not in plain}
    return table.select(
        pl.col(plain).cast(pl.String, strict=False),
        *(pl.lit(value, pl.String).alias(name) for name, value in beside.items()),
    )


def _collected(file: Path, table: pl.LazyFrame, kept: dict[str, str]) -> pl.DataFrame:
    there = [name for name in table.collect_schema() if name in kept]
    counted = pl.lit(0).alias(ROW)  # no column at all would have no rows
    try:
        return table.with_columns(counted).select(*(pl.col(name).alias(kept[name]) for name in there), ROW).collect()
    except Exception as error:  # polars raises its own tree
        raise _unreadable(file, error) from None


def measure_parquet(path: Path, output: BinaryIO) -> list[tuple[str, dict[str, str | None]]]:
    """Finds the files of a table, and how much text they hold once each value stands by itself.

    Returns:
        Each file's name, relative to a folder, and the values of the columns that are not in it.

    Raises:
        SourceError: if one cannot be read, or there are more values or bytes than their size allows.
    """
    parts = find_parts(path)
    files = [part.path for part in parts]
    size = sum(file.stat().st_size for file in files)
    most_values, most_bytes = MOST_VALUES + VALUES_PER_BYTE * size, MOST_TEXT_BYTES + TEXT_BYTES_PER_BYTE * size
    values = length = 0
    for each in files:
        try:
            schema = pq.read_schema(each)
            plain = [field.name for field in schema if not pa.types.is_nested(field.type)]
            texts = [name for name in plain if pa.types.is_string(schema.field(name).type)]
            file = pq.ParquetFile(each, read_dictionary=texts, buffer_size=1 << 16)
            values += file.metadata.num_rows * file.metadata.num_columns
            if values > most_values:
                raise SourceError(
                    f"{path.name} must have at most {most_values:,} values, by its size. It declares {values:,}. "
                    "Do not trust the file."
                )
            for batch in file.iter_batches(_BATCH_ROWS, columns=plain, use_threads=False):
                length += sum(map(_text_bytes, batch.columns))
                if length > most_bytes:
                    raise SourceError(
                        f"{path.name} must hold at most {most_bytes >> 20:,} MiB of text, by its size. It holds more. "
                        "Do not trust the file."
                    )
        except (SourceError, MemoryError):
            raise
        except Exception as error:  # a file from outside can fail in any way
            raise _unreadable(each, error) from None
    return [(part.path.relative_to(path).as_posix(), part.values) for part in parts]


def _text_bytes(column: pa.Array) -> int:
    if pa.types.is_dictionary(column.type):
        lengths = pc.binary_length(column.dictionary)
        return pc.sum(pc.cast(lengths, pa.int64()).take(column.indices)).as_py() or 0
    return int(column.nbytes)


def _unreadable(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path.name} must be a parquet file. It cannot be read: {error}. Write it again.")
