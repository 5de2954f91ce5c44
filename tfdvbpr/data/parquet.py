"""Tables of a prepared dataset or a run as they are stored, held against what the manifest declares before reading."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

Schema = Mapping[str, pl.DataType | type[pl.DataType]]


def read_parquet(path: Path, schema: Schema, *, rows: int | None = None, most_rows: int | None = None) -> pl.DataFrame:
    """A parquet table without nulls in the columns of `schema`.

    Args:
        path: the file.
        schema: columns that must be there, and their types; there may be others.
        rows: their number; None for any.
        most_rows: at most so many.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it is damaged, or another table.
    """
    count = pq.read_metadata(path).num_rows
    if count != (count if rows is None else rows) or count > (count if most_rows is None else most_rows):
        raise ValueError(f"it must have {rows if rows is not None else most_rows} rows, and has {count}")
    try:
        table = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ValueError(str(error)) from None
    for name, kind in schema.items():
        if table.schema.get(name) != kind:
            raise ValueError(f"its column {name} must be {kind}, and is {table.schema.get(name, 'missing')}")
        if table[name].null_count():
            raise ValueError(f"its column {name} must have no empty cells")
    return table
