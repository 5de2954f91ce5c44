"""Items that show the same picture."""

from __future__ import annotations

from typing import Literal

import polars as pl

from tfdvbpr.data.packing import DIGEST

DuplicateHandling = Literal["keep", "merge"]
DUPLICATE_HANDLINGS: tuple[DuplicateHandling, ...] = ("keep", "merge")


def find_duplicates(items: pl.DataFrame) -> pl.DataFrame:
    """Later items whose stored picture is the same file, byte for byte, as that of an earlier one.

    Stored is what `images.checked_jpeg` makes: a JPEG as it came, anything else re-encoded, so that a PNG and a
    lossless WebP of the same pixels are the same picture, and two JPEGs with other metadata are not. Pictures that only
    look alike are not looked for.

    Args:
        items: columns item_id, category and `packing.DIGEST`, in the catalogue's order.

    Returns:
        Columns item_id, first_item_id, category, first_category; one row a later item.
    """
    first = pl.col("item_id", "category").first().over(DIGEST).name.prefix("first_")
    return (
        items.select("item_id", "category", first)
        .filter(pl.col("item_id") != pl.col("first_item_id"))
        .select("item_id", "first_item_id", "category", "first_category")
    )
