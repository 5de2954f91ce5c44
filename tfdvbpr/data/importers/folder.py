"""A folder of your own: items.csv|parquet, interactions.csv|parquet and images."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import polars as pl

from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import (
    DEFAULT_CATEGORY,
    Importer,
    Quarantine,
    Source,
    image_hint_below,
    images_below,
)
from tfdvbpr.data.preparation.tables import read_table
from tfdvbpr.errors import SourceError


class FolderImporter(Importer):
    """Reads a folder of two tables and images; see `read_folder`."""

    summary: ClassVar[str] = (
        "a folder with items.csv or .parquet (item_id, image, optionally category and more), interactions.csv or "
        ".parquet (user_id, item_id, optionally timestamp and split), and the images."
    )

    def read(self, source: Path) -> Source:
        """Reads the tables of a source folder."""
        return read_folder(source)


def read_folder(folder: Path, *, with_interactions: bool = True) -> Source:
    """Reads the tables of a source folder.

    Args:
        folder: holds items.csv or .parquet (`item_id`, `image` as a path inside the folder, and optionally `category`
            and any other columns), interactions.csv or .parquet (`user_id`, `item_id`, and optionally `timestamp` and
            `split`, see `Source`), and the images.
        with_interactions: false for items alone, as new items are.

    Raises:
        SourceError: if the folder, a table or a required column is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        tables = "items.csv and interactions.csv" if with_interactions else "items.csv"
        raise SourceError(f"SOURCE must be a folder with {tables}. There is no folder {folder}.")
    quarantine = Quarantine()
    items = read_table(folder, "items", required=("item_id", "image"), filled=("item_id",), quarantine=quarantine)
    if with_interactions:
        interactions = read_table(folder, "interactions", required=("user_id", "item_id"), quarantine=quarantine)
    else:
        interactions = pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.String, ROW: pl.Int64})
    if "category" not in items.columns:
        items = items.with_columns(pl.lit(None, pl.String).alias("category"))
    items = items.with_columns(pl.col("category").replace("", None).fill_null(DEFAULT_CATEGORY))
    names = list(quarantine.tables)
    return Source(
        folder.resolve().name,
        items,
        interactions,
        images_below(folder),
        quarantine,
        names[0],
        names[1] if with_interactions else "interactions",
        image_hint_below(folder),
    )
