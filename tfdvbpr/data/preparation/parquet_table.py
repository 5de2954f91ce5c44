"""Parquet files from outside as tables of strings, measured before they are read: kilobytes may hold terabytes."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tfdvbpr.child import read_in_child
from tfdvbpr.data.preparation.columns import Columns
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import TableFacts
from tfdvbpr.errors import SourceError

# What a file may hold: so much, and so much for each of its bytes.
MOST_VALUES, VALUES_PER_BYTE = 1 << 24, 16
MOST_TEXT_BYTES, TEXT_BYTES_PER_BYTE = 1 << 28, 64
_BATCH_ROWS = 1 << 14
_MOST_FILES = 10_000
_TABLE_FORMATS = {"_delta_log": "a Delta table", "metadata": "an Iceberg table", ".hoodie": "a Hudi table"}


def read_parquet_table(path: Path, facts: TableFacts, columns: Columns) -> pl.DataFrame:
    """Reads the columns of a parquet file, or of a folder of them, that are not nested, as strings.

    A child process measures the files first, with limited memory and time. A folder's files are read in the order of
    their names, and folders within it that are called NAME=VALUE give all that is below them a column (Hive).

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
    files = parquet_files(path)
    with files[0].open("rb") as unused:
        read_in_child(measure_parquet, path, unused.fileno(), num_bytes=sum(file.stat().st_size for file in files))
    tables = {file: _lazy(file, path) for file in files}
    header = list(dict.fromkeys(name for table in tables.values() for name in table.collect_schema()))
    names = dict(zip(header, columns.names(header, facts), strict=True))
    kept = {theirs: ours for theirs, ours in names.items() if ours is not None}
    table = pl.concat([_collected(file, tables[file], kept) for file in files], how="diagonal")
    facts.num_rows = table.height
    ours = [name for name in kept.values() if name in table.columns]
    return table.select(*ours, pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW))


def parquet_files(path: Path) -> list[Path]:
    """A file itself, or the parquet files below a folder, in the order of their names.

    Raises:
        SourceError: if there are none, too many, or they are those of a Delta or Iceberg table, or a link leaves the
            folder.
    """
    if path.is_file():
        return [path]
    for name, kind in _TABLE_FORMATS.items():
        if (path / name).is_dir():
            raise SourceError(
                f"{path.name} must be a folder of parquet files alone. It is {kind}, whose files hold deleted rows "
                "too. Export it as parquet or CSV."
            )
    root = path.resolve()
    files = [
        file
        for file in sorted(path.rglob("*.parquet"))
        if not any(part.startswith(("_", ".")) for part in file.relative_to(path).parts)
    ]
    if not 0 < len(files) <= _MOST_FILES:
        raise SourceError(
            f"{path.name} must hold 1 to {_MOST_FILES:,} parquet files. Received {len(files):,}. Join them into larger "
            "ones."
        )
    outside = [file.name for file in files if not file.resolve().is_relative_to(root)]
    if outside:
        raise SourceError(f"{path.name} must hold its files itself. {outside[0]} is a link that leaves it. Copy it.")
    return files


def _lazy(file: Path, root: Path) -> pl.LazyFrame:
    """The columns that are not nested as strings, and those that the names of its folders give."""
    try:
        table = pl.scan_parquet(file, glob=False)
        plain = [name for name, kind in table.collect_schema().items() if not kind.is_nested()]
    except Exception as error:  # polars raises its own tree
        raise _unreadable(file, error) from None
    table = table.select(pl.col(plain).cast(pl.String, strict=False))
    for folder in file.relative_to(root).parent.parts if file != root else ():
        name, separator, value = folder.partition("=")
        if separator and name not in plain:
            written = None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)
            table = table.with_columns(pl.lit(written, pl.String).alias(name))
    return table


def _collected(file: Path, table: pl.LazyFrame, kept: dict[str, str]) -> pl.DataFrame:
    there = [name for name in table.collect_schema() if name in kept]
    counted = pl.lit(0).alias(ROW)  # no column at all would have no rows
    try:
        return table.with_columns(counted).select(*(pl.col(name).alias(kept[name]) for name in there), ROW).collect()
    except Exception as error:  # polars raises its own tree
        raise _unreadable(file, error) from None


def measure_parquet(path: Path, output: BinaryIO) -> int:
    """Bytes of text in parquet files once each value stands by itself; dictionaries and runs are left as they are.

    Raises:
        SourceError: if one cannot be read, or there are more values or bytes than their size allows.
    """
    files = parquet_files(path)
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
    return length


def _text_bytes(column: pa.Array) -> int:
    if pa.types.is_dictionary(column.type):
        lengths = pc.binary_length(column.dictionary)
        return pc.sum(pc.cast(lengths, pa.int64()).take(column.indices)).as_py() or 0
    return int(column.nbytes)


def _unreadable(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path.name} must be a parquet file. It cannot be read: {error}. Write it again.")
