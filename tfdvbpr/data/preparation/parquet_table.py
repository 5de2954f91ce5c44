"""Parquet files from outside as tables of strings, measured before they are read: kilobytes may hold terabytes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tfdvbpr.child import read_in_child
from tfdvbpr.errors import SourceError

# What a file may hold: so much, and so much for each of its bytes.
MOST_VALUES, VALUES_PER_BYTE = 1 << 24, 16
MOST_TEXT_BYTES, TEXT_BYTES_PER_BYTE = 1 << 28, 64
_BATCH_ROWS = 1 << 14


def read_parquet_table(path: Path, only: Collection[str] | None = None) -> pl.DataFrame:
    """Reads the columns of a parquet file that are not nested, as strings.

    A child process measures the file first, with limited memory and time.

    Args:
        path: the file.
        only: columns to keep, of those that are there; left out, all.

    Raises:
        SourceError: if it cannot be read, or holds much more than its size.
    """
    with path.open("rb") as unused:
        read_in_child(measure_parquet, path, unused.fileno())
    try:
        schema = pl.scan_parquet(path, glob=False).collect_schema()
        columns = [name for name, kind in schema.items() if not kind.is_nested() and (only is None or name in only)]
        table = pl.read_parquet(path, glob=False, columns=columns)
    except Exception as error:  # polars raises its own tree
        raise _unreadable(path, error) from None
    return table.select(pl.col(columns).cast(pl.String, strict=False))


def measure_parquet(path: Path, output: BinaryIO) -> int:
    """Bytes of text in a parquet file once each value stands by itself; dictionaries and runs are left as they are.

    Raises:
        SourceError: if it cannot be read, or there are more values or bytes than its size allows.
    """
    size = path.stat().st_size
    most_values, most_bytes = MOST_VALUES + VALUES_PER_BYTE * size, MOST_TEXT_BYTES + TEXT_BYTES_PER_BYTE * size
    try:
        schema = pq.read_schema(path)
        plain = [field.name for field in schema if not pa.types.is_nested(field.type)]
        texts = [name for name in plain if pa.types.is_string(schema.field(name).type)]
        file = pq.ParquetFile(path, read_dictionary=texts, buffer_size=1 << 16)
        values = file.metadata.num_rows * file.metadata.num_columns
        if values > most_values:
            raise SourceError(
                f"{path.name} must have at most {most_values:,} values, by its size. It declares {values:,}. "
                "Do not trust the file."
            )
        length = 0
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
        raise _unreadable(path, error) from None
    return length


def _text_bytes(column: pa.Array) -> int:
    if pa.types.is_dictionary(column.type):
        lengths = pc.binary_length(column.dictionary)
        return pc.sum(pc.cast(lengths, pa.int64()).take(column.indices)).as_py() or 0
    return int(column.nbytes)


def _unreadable(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path.name} must be a parquet file. It cannot be read: {error}. Write it again.")
