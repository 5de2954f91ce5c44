"""Amazon Reviews 2023 (McAuley Lab): one category's reviews and metadata as JSON lines, and a folder of images.

Every review is an action, whatever its rating: the paper's data were made so.
Nothing is downloaded; the metadata's image addresses are kept in the column `image_url`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from tfdvbpr.data.preparation.json_lines import Record, read_jsonl
from tfdvbpr.data.preparation.rows import is_text
from tfdvbpr.data.preparation.source import (
    DEFAULT_CATEGORY,
    Importer,
    Quarantine,
    Source,
    image_hint_below,
    images_below,
)
from tfdvbpr.errors import SourceError

_IMAGES = "images"
_ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst")
_CATEGORY_LEVELS = slice(1, 4)  # the first names the whole store, below the fourth they are too fine to learn


class AmazonReviews2023Importer(Importer):
    """Reads one category of Amazon Reviews 2023."""

    summary: ClassVar[str] = "NAME.jsonl, meta_NAME.jsonl (both also .gz or .zst) and images/PARENT_ASIN.jpg."

    def read(self, source: Path) -> Source:
        """Reads the files of one category.

        Args:
            source: a folder with NAME.jsonl or .jsonl.gz (`user_id`, `parent_asin` or `asin`, `timestamp` in
                milliseconds), meta_NAME.jsonl or .jsonl.gz (`parent_asin`, optionally `title`, `main_category`,
                `categories`, `store`, `price`, `images`), and images/PARENT_ASIN.jpg, .png or another ending.

        Returns:
            A source whose items are the metadata's, by `parent_asin`. The category is made of levels 2 to 4 of
            `categories`, such as "Women > Clothing > Dresses", else it is `main_category`. The actions carry
            `timestamp`, in seconds.

        Raises:
            SourceError: if the folder has not exactly one file of each kind, or a compressed file is damaged.
        """
        folder = Path(source)
        reviews_path, meta_path = _two_files(folder)
        quarantine = Quarantine()
        items = read_jsonl(meta_path, _ITEM_FIELDS, required=("item_id",), quarantine=quarantine)
        interactions = read_jsonl(reviews_path, _REVIEW_FIELDS, required=("user_id", "item_id"), quarantine=quarantine)
        items = items.with_columns(
            pl.coalesce(pl.col("category"), pl.lit(DEFAULT_CATEGORY)).replace("", DEFAULT_CATEGORY).alias("category"),
            _image_paths(folder, items["item_id"]).alias("image"),
        )
        return Source(
            reviews_path.name.split(".jsonl")[0],
            items,
            interactions,
            images_below(folder),
            quarantine,
            meta_path.name,
            reviews_path.name,
            image_hint_below(folder),
        )


def _two_files(folder: Path) -> tuple[Path, Path]:
    found = sorted(path for path in folder.glob("*.jsonl*") if path.name.endswith(_ENDINGS) and path.is_file())
    meta = [path for path in found if path.name.startswith("meta_")]
    reviews = [path for path in found if path not in meta]
    if len(reviews) != 1 or len(meta) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise SourceError(
            "SOURCE must be a folder with the reviews of one category, NAME.jsonl or .jsonl.gz, and its metadata, "
            f"meta_NAME.jsonl or .jsonl.gz. {folder} holds: {names[:300]}. Give each category a folder of its own."
        )
    return reviews[0], meta[0]


def _image_paths(folder: Path, item_ids: pl.Series) -> pl.Series:
    """images/ID with the ending that is there; .jpg where there is none, for the quarantine to name."""
    images = folder / _IMAGES
    names = sorted(filter(is_text, os.listdir(images)), reverse=True) if images.is_dir() else []
    by_id = {name.rsplit(".", 1)[0]: f"{_IMAGES}/{name}" for name in names}  # of a.jpg and a.png the first
    paths = [by_id.get(item_id, f"{_IMAGES}/{item_id}.jpg") for item_id in item_ids]
    return pl.Series(paths, dtype=pl.String)


def _category(record: Record) -> Any:
    levels = record.get("categories")
    names = [level.strip() for level in levels if isinstance(level, str)] if isinstance(levels, list) else []
    return " > ".join(filter(None, names[_CATEGORY_LEVELS])) or record.get("main_category")


def _image_url(record: Record) -> Any:
    """The largest version of the main image, or else of the first."""
    images = record.get("images")
    listed = [image for image in images if isinstance(image, dict)] if isinstance(images, list) else []
    listed.sort(key=lambda image: image.get("variant") != "MAIN")
    return next((image[size] for image in listed for size in ("hi_res", "large", "thumb") if image.get(size)), None)


def _seconds(record: Record) -> Any:
    value = record.get("timestamp")
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    whole, rest = divmod(value, 1000)
    return f"{whole}.{rest:03d}" if rest else whole


def _field(name: str) -> Callable[[Record], Any]:
    return lambda record: record.get(name)


_ITEM_FIELDS = {
    "item_id": _field("parent_asin"),
    "category": _category,
    **{name: _field(name) for name in ("title", "main_category", "store", "price")},
    "image_url": _image_url,
}
_REVIEW_FIELDS = {
    "user_id": _field("user_id"),
    "item_id": lambda record: record.get("parent_asin") or record.get("asin"),
    "timestamp": _seconds,
}
