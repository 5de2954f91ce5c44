"""CSV and parquet tables of strings in which every bad row is named."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import polars as pl

from tfdvbpr.data.preparation.csv_table import read_csv
from tfdvbpr.data.preparation.quarantine import Quarantine
from tfdvbpr.data.preparation.rows import ROW, without_empty
from tfdvbpr.errors import SourceError

__all__ = ["ROW", "read_table"]


def read_table(
    folder: Path,
    name: str,
    *,
    required: tuple[str, ...],
    quarantine: Quarantine,
    only: Collection[str] | None = None,
) -> pl.DataFrame:
    """Reads `name`.csv or `name`.parquet as strings, with the source's line number in the column `ROW`.

    Rows with another number of fields than the header, with bytes that are no UTF-8, or with nothing in a required
    column go to the quarantine.

    Args:
        folder: where the table lies.
        name: file name without its ending; parquet is taken where both are there.
        required: columns that must be there and filled.
        quarantine: where bad rows are listed.
        only: columns to keep, of those that are there; left out, all.

    Raises:
        SourceError: if there is no such file, it cannot be read at all, or a required column is missing from its
            header.
    """
    parquet, plain = folder / f"{name}.parquet", folder / f"{name}.csv"
    if parquet.is_file():
        table, path = _read_parquet(parquet, only), parquet
    elif plain.is_file():
        table, path = read_csv(plain, quarantine, only=only), plain
    else:
        raise SourceError(f"The source must hold {name}.csv or {name}.parquet. {folder} has neither.")
    missing = [column for column in required if column not in table.columns]
    if missing:
        found = ", ".join(column for column in table.columns if column != ROW) or "none"
        raise SourceError(
            f"{path.name} must have the columns {', '.join(required)}. Received {found[:300]}. "
            f"Name or rename {', '.join(missing)} in its header."
        )
    return without_empty(table, path.name, required, quarantine)


def _read_parquet(path: Path, only: Collection[str] | None) -> pl.DataFrame:
    try:
        table = pl.read_parquet(path)
    except Exception as error:  # polars raises its own tree, pyarrow another
        raise SourceError(f"{path.name} must be a parquet file. It cannot be read: {error}. Write it again.") from None
    plain = [
        column for column, dtype in table.schema.items() if not dtype.is_nested() and (only is None or column in only)
    ]
    table = table.select(pl.col(plain).cast(pl.String, strict=False))
    return table.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW))
