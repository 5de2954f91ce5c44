"""The H&M competition's files (Kaggle, "H&M Personalized Fashion Recommendations", 2022)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import polars as pl

from tfdvbpr.data.preparation.columns import Columns
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

ITEMS, ACTIONS = "articles", "transactions_train"
_ID_DIGITS = 10
_CATEGORIES = ("product_group_name", "product_type_name")


class HmImporter(Importer):
    """Reads the files of the H&M competition."""

    summary: ClassVar[str] = "articles.csv, transactions_train.csv and images/ of the H&M competition."

    def read(self, source: Path) -> Source:
        """Reads articles, transactions and images in the competition's layout.

        The category is `product_group_name`, of which there are 19, or `product_type_name` (131) where the group is
        missing. Article ids have ten digits: zeros that a spreadsheet or pandas has removed are put back. Dates are
        kept as `timestamp`.

        Args:
            source: a folder with articles.csv or .parquet (`article_id` and more), transactions_train.csv or .parquet
                (`t_dat`, `customer_id`, `article_id`), and images/0NN/0NNNNNNNNN.jpg, where 0NN are the id's first
                three digits.

        Raises:
            SourceError: if the folder, a table or a required column is missing.
        """
        folder = Path(source)
        if not folder.is_dir():
            raise SourceError(
                f"SOURCE must be a folder with {ITEMS}.csv and {ACTIONS}.csv. There is no folder {folder}."
            )
        quarantine = Quarantine()
        items = read_table(folder, ITEMS, required=("article_id",), quarantine=quarantine)
        columns = ("t_dat", "customer_id", "article_id")
        wanted = Columns(columns, others=False)
        actions = read_table(folder, ACTIONS, required=columns[1:], quarantine=quarantine, columns=wanted)
        category = [pl.when(pl.col(name) != "").then(pl.col(name)) for name in _CATEGORIES if name in items.columns]
        items = items.drop("item_id", "category", "image", strict=False)
        items = items.with_columns(
            _whole_id().alias("item_id"), pl.coalesce(*category, pl.lit(DEFAULT_CATEGORY)).alias("category")
        )
        items = items.with_columns(
            pl.format("images/{}/{}.jpg", pl.col("item_id").str.head(3), "item_id").alias("image")
        )
        actions = actions.with_columns(_whole_id().alias("article_id"))
        names = {"customer_id": "user_id", "article_id": "item_id", "t_dat": "timestamp"}
        actions = actions.rename(names, strict=False)
        items_name, actions_name = quarantine.tables
        return Source(
            folder.resolve().name,
            items.drop("article_id"),
            actions,
            images_below(folder),
            quarantine,
            items_name,
            actions_name,
            image_hint_below(folder),
        )


def _whole_id() -> pl.Expr:
    """The article id with its leading zeros; what is no number is left as it is."""
    article_id = pl.col("article_id")
    return pl.when(article_id.str.contains(r"^[0-9]+$")).then(article_id.str.zfill(_ID_DIGITS)).otherwise(article_id)
