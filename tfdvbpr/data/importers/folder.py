"""A folder of one's own: items.csv|parquet, interactions.csv|parquet and images/."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tfdvbpr.data.preparation.source import DEFAULT_CATEGORY, Quarantine, Source, pictures_below
from tfdvbpr.data.preparation.tables import ROW, read_table
from tfdvbpr.errors import SourceError


def read_folder(folder: Path, *, with_interactions: bool = True) -> Source:
    """Reads the tables of a source folder; pictures are read when they are asked for.

    Args:
        folder: holds items.csv or .parquet (`item_id`, `image` as a path inside the folder, and by choice `category`
            and any other columns), interactions.csv or .parquet (`user_id`, `item_id`, and by choice `timestamp` and
            `split`, see `Source`), and the pictures.
        with_interactions: false for items alone, as new items are.

    Raises:
        SourceError: if the folder, a table or a required column is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        tables = "items.csv and interactions.csv" if with_interactions else "items.csv"
        raise SourceError(f"SOURCE must be a folder with {tables}. There is no folder {folder}.")
    quarantine = Quarantine()
    items = read_table(folder, "items", required=("item_id", "image"), quarantine=quarantine)
    if with_interactions:
        interactions = read_table(folder, "interactions", required=("user_id", "item_id"), quarantine=quarantine)
    else:
        interactions = pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.String, ROW: pl.Int64})
    if "category" not in items.columns:
        items = items.with_columns(pl.lit(DEFAULT_CATEGORY).alias("category"))
    items = items.with_columns(
        pl.when(pl.col("category").is_null() | (pl.col("category") == ""))
        .then(pl.lit(DEFAULT_CATEGORY))
        .otherwise(pl.col("category"))
        .alias("category")
    )
    return Source(
        folder.resolve().name, items, interactions, pictures_below(folder), quarantine, "items", "interactions"
    )
