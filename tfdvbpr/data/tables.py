"""CSV and parquet tables of strings in which every bad row is named."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from tfdvbpr.data.quarantine import Quarantine
from tfdvbpr.errors import SourceError

ROW = "__row__"


def read_table(folder: Path, name: str, *, required: tuple[str, ...], quarantine: Quarantine) -> pl.DataFrame:
    """Reads `name`.csv or `name`.parquet as strings, with the source's line number in the column `ROW`.

    Rows with another number of fields than the header, with bytes that are no UTF-8, or with nothing in a required
    column go to the quarantine.

    Args:
        folder: where the table lies.
        name: file name without its ending; parquet is taken where both are there.
        required: columns that must be there and filled.
        quarantine: where bad rows are listed.

    Raises:
        SourceError: if there is no such file, it cannot be read at all, or a required column is missing from its
            header.
    """
    parquet, plain = folder / f"{name}.parquet", folder / f"{name}.csv"
    if parquet.is_file():
        table, path = _read_parquet(parquet), parquet
    elif plain.is_file():
        table, path = _read_csv(plain, quarantine), plain
    else:
        raise SourceError(f"The source must hold {name}.csv or {name}.parquet. {folder} has neither.")
    missing = [column for column in required if column not in table.columns]
    if missing:
        found = ", ".join(column for column in table.columns if column != ROW) or "none"
        raise SourceError(
            f"{path.name} must have the columns {', '.join(required)}. Received {found[:300]}. "
            f"Name or rename {', '.join(missing)} in its header."
        )
    return _without_empty(table, path.name, required, quarantine)


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        table = pl.read_parquet(path)
    except Exception as error:  # polars raises its own tree, pyarrow another
        raise SourceError(f"{path.name} must be a parquet file. It cannot be read: {error}. Write it again.") from None
    plain = [column for column, dtype in table.schema.items() if not dtype.is_nested()]
    table = table.select(pl.col(plain).cast(pl.String, strict=False))
    return table.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW))


def _read_csv(path: Path, quarantine: Quarantine) -> pl.DataFrame:
    columns: list[list[str]] = []
    rows: list[int] = []
    header: list[str] | None = None
    for number, fields in _csv_rows(path, quarantine):
        if header is None:
            header = [name.strip() for name in fields]
            if len(set(header)) != len(header):
                raise SourceError(f"{path.name} must name each column once. Received {', '.join(header)[:300]}.")
            columns = [[] for _ in header]
        elif len(fields) != len(header):
            detail = f"{len(fields)} fields where the header has {len(header)}"
            quarantine.add(path.name, number, ",".join(fields), kind="malformed row", detail=detail)
        else:
            rows.append(number)
            for column, value in zip(columns, fields, strict=True):
                column.append(value.strip())
    if header is None:
        raise SourceError(f"{path.name} must start with a header line. The file is empty.")
    data: dict[str, list[str] | list[int]] = dict(zip(header, columns, strict=True))
    schema: dict[str, type[pl.DataType]] = dict.fromkeys(header, pl.String)
    return pl.DataFrame({**data, ROW: rows}, schema={**schema, ROW: pl.Int64})


def _csv_rows(path: Path, quarantine: Quarantine) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of every row that is text; the others are quarantined."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                quarantine.add(path.name, reader.line_num, "", kind="malformed row", detail=str(error))
                continue
            text = "".join(fields)
            if not text.strip() and len(fields) <= 1:
                continue  # a blank line carries no row
            if "\x00" in text or any("\udc80" <= character <= "\udcff" for character in text if character > "\ud7ff"):
                value = text.encode("utf-8", "backslashreplace").decode()
                quarantine.add(path.name, reader.line_num, value, kind="malformed row", detail="not UTF-8 text")
                continue
            yield reader.line_num, fields


def _without_empty(table: pl.DataFrame, name: str, required: tuple[str, ...], quarantine: Quarantine) -> pl.DataFrame:
    empty = pl.any_horizontal(pl.col(column).is_null() | (pl.col(column) == "") for column in required)
    for row in table.filter(empty).iter_rows(named=True):
        columns = [column for column in required if not row[column]]
        value = ",".join(str(row[column] or "") for column in required)
        quarantine.add(name, row[ROW], value, kind="malformed row", detail=f"nothing in {', '.join(columns)}")
    return table.filter(~empty)
