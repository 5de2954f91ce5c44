"""Items that show the same picture."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import polars as pl

from tfdvbpr.data.preparation.packing import packed_jpegs

DuplicateHandling = Literal["keep", "merge"]
DUPLICATE_HANDLINGS: tuple[DuplicateHandling, ...] = ("keep", "merge")
_DIGEST = "__digest__"


def find_duplicates(items: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Later items whose stored picture is the same file, byte for byte, as that of an earlier one.

    Stored is what `images.checked_jpeg` makes: a JPEG as it came, anything else re-encoded, so that a PNG and a
    lossless WebP of the same pixels are the same picture, and two JPEGs with other metadata are not. Pictures that only
    look alike are not looked for.

    Args:
        items: columns item_id and category, in the order of the packed pictures.
        folder: where `packing.write_images` packed them.

    Returns:
        Columns item_id, first_item_id, category, first_category; one row a later item.
    """
    digests = [hashlib.blake2b(jpeg, digest_size=16).hexdigest() for jpeg in packed_jpegs(folder)]
    first = pl.col("item_id", "category").first().over(_DIGEST).name.prefix("first_")
    return (
        items.with_columns(pl.Series(_DIGEST, digests, pl.String))
        .select("item_id", "category", first)
        .filter(pl.col("item_id") != pl.col("first_item_id"))
        .select("item_id", "first_item_id", "category", "first_category")
    )
