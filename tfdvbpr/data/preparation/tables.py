"""The tables of a source folder, of whatever kind."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import polars as pl

from tfdvbpr.data.preparation.csv_table import read_csv
from tfdvbpr.data.preparation.parquet_table import read_parquet_table
from tfdvbpr.data.preparation.rows import ROW, without_empty
from tfdvbpr.data.preparation.source import Quarantine, TableFacts
from tfdvbpr.errors import SourceError


def read_table(
    folder: Path,
    name: str,
    *,
    required: tuple[str, ...],
    quarantine: Quarantine,
    filled: tuple[str, ...] | None = None,
    only: Collection[str] | None = None,
) -> pl.DataFrame:
    """Reads `name`.csv or `name`.parquet as strings, with the source's line number in the column `ROW`.

    Rows with another number of fields than the header, with bytes that are no UTF-8, or with nothing in a required
    column go to the quarantine.

    Args:
        name: file name without its ending; parquet is taken where both are there.
        required: columns that must be there.
        filled: of them, those that must have a value in every row; left out, all.
        only: columns to keep, of those that are there; left out, all.

    Raises:
        SourceError: if there is no such file, it cannot be read at all, or a required column is missing from its
            header.
    """
    parquet, plain = folder / f"{name}.parquet", folder / f"{name}.csv"
    if parquet.is_file():
        numbers = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW)
        table, path = read_parquet_table(parquet, only).with_columns(numbers), parquet
        quarantine.tables[path.name] = TableFacts(name=path.name, num_rows=table.height)
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
    return without_empty(table, path.name, required, quarantine, filled=filled)
