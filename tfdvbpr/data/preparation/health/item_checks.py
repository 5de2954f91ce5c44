"""Images without information, and categories that are no help."""

from __future__ import annotations

import polars as pl

from tfdvbpr.data.preparation.health.evidence import Evidence, finding
from tfdvbpr.data.preparation.health.report import Finding

MIN_SIDE, MAX_ASPECT = 16, 8
_PLACEHOLDER = 5


def blank_images(evidence: Evidence) -> Finding | None:
    """Images of one colour."""
    blank = evidence.photos.filter("blank")
    if not blank.height:
        return None
    return finding(
        "blank_images",
        "warning",
        f"{blank.height:,} images have one colour only.",
        blank.height,
        blank["item_id"],
        "Replace them, or take the items out: a model learns nothing from them.",
    )


def tiny_images(evidence: Evidence) -> Finding | None:
    """Images of a few pixels, or of a banner's shape."""
    sides = pl.min_horizontal("width", "height"), pl.max_horizontal("width", "height")
    tiny = evidence.photos.filter((sides[0] < MIN_SIDE) | (sides[1] > MAX_ASPECT * sides[0]))
    if not tiny.height:
        return None
    examples = [f"{item_id}: {width}x{height}" for item_id, width, height in _sizes(tiny)]
    return finding(
        "tiny_images",
        "warning",
        f"{tiny.height:,} images are smaller than {MIN_SIDE} pixels or {MAX_ASPECT} times as long as wide.",
        tiny.height,
        examples,
        "Replace them by product photos: these are tracking pixels, lines or banners.",
    )


def _sizes(photos: pl.DataFrame) -> list[tuple[str, int, int]]:
    return photos.select("item_id", "width", "height").rows()


def repeated_images(evidence: Evidence) -> Finding | None:
    """Images that several items share."""
    shared = evidence.duplicates.group_by("first_item_id", maintain_order=True).len().sort("len", descending=True)
    if not shared.height:
        return None
    largest = int(shared["len"].max()) + 1  # type: ignore[arg-type]
    placeholder = largest >= _PLACEHOLDER
    return finding(
        "repeated_images",
        "warning" if placeholder else "note",
        f"{evidence.duplicates.height:,} items have the image of an earlier item"
        + (f"; one image has {largest:,} items and may mean 'no photo'." if placeholder else "."),
        evidence.duplicates.height,
        [f"{item_id}: {others + 1} items" for item_id, others in shared.iter_rows()],
        "See duplicates.csv; --duplicates merge counts such items as one."
        + (" Take items without a photo out first." if placeholder else ""),
    )


def small_categories(evidence: Evidence) -> Finding | None:
    """Categories of one item."""
    sizes = evidence.items.group_by("category", maintain_order=True).len()
    single = sizes.filter(pl.col("len") == 1)
    if not single.height:
        return None
    return finding(
        "small_categories",
        "warning" if single.height > sizes.height / 2 else "note",
        f"{single.height:,} of {sizes.height:,} categories have one item.",
        single.height,
        single["category"],
        "Give items broader categories; a GAN learns nothing from a category of one.",
    )


def similar_categories(evidence: Evidence) -> Finding | None:
    """Categories that differ only by case and blanks."""
    names = evidence.items.select("category").unique(maintain_order=True)
    plain = pl.col("category").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    groups = names.group_by(plain.alias("plain"), maintain_order=True).agg("category")
    groups = groups.filter(pl.col("category").list.len() > 1)
    if not groups.height:
        return None
    count = int(groups["category"].list.len().sum())
    return finding(
        "similar_categories",
        "warning",
        f"{count:,} categories differ from one another only by case or blanks.",
        count,
        [", ".join(map(repr, each)) for each in groups["category"]],
        "Write them alike.",
    )
