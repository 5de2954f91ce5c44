"""What every importer hands to preparation: two tables of strings and a way to read a picture's bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from tfdvbpr.data.preparation.quarantine import Quarantine

DEFAULT_CATEGORY = "all"


@dataclass(frozen=True)
class Source:
    """Raw material of a prepared dataset.

    Attributes:
        name: for people, and for the manifest.
        items: string columns item_id, category, image and any others (kept as metadata), and `tables.ROW`.
        interactions: string columns user_id, item_id, and `tables.ROW`; by choice `timestamp` (what
            `timestamps.seconds` reads) and `split` ("train", "validation" or "test": the source's own split). In these
            two, null and "" mean unknown.
        image_bytes: a picture file's bytes, by its value in the column `image`; raises OSError.
        quarantine: what the importer already left out.
        items_name: the file the items stand in, for the quarantine.
        interactions_name: the file the interactions stand in, for the quarantine.
    """

    name: str
    items: pl.DataFrame
    interactions: pl.DataFrame
    image_bytes: Callable[[str], bytes]
    quarantine: Quarantine
    items_name: str = "items"
    interactions_name: str = "interactions"
