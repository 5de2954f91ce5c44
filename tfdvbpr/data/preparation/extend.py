"""New items beside the old ones of a prepared dataset: a new dataset with a larger catalogue and the same actions."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from tfdvbpr.data.dataset import (
    DUPLICATES_NAME,
    INTERACTIONS_NAME,
    ITEMS_NAME,
    MANIFEST_NAME,
    QUARANTINE_NAME,
    USERS_NAME,
    Manifest,
    PreparedDataset,
)
from tfdvbpr.data.images.decoding import MAX_PIXELS
from tfdvbpr.data.preparation.packing import Progress, distinct_items, find_duplicates, join_images, write_images
from tfdvbpr.data.preparation.prepare import PrepareOptions, file_records
from tfdvbpr.data.preparation.source import Quarantine, Source
from tfdvbpr.data.preparation.tables import ROW
from tfdvbpr.errors import SourceError
from tfdvbpr.files import IfExists, whole_directory


def extend(
    dataset: PreparedDataset,
    source: Source,
    output: Path,
    *,
    max_pixels: int = MAX_PIXELS,
    if_exists: IfExists = "error",
    progress: Progress | None = None,
) -> PreparedDataset:
    """Writes a dataset whose first items are those of another and whose last ones are new.

    Items, users, actions and the split of the old dataset stay as they are, and so do the ids of its categories: new
    categories follow in alphabetical order.

    Args:
        dataset: the old one; its image size and fit are used.
        source: the new items; its quarantine is filled further, also with ids that the catalogue has already. Its
            interactions are ignored.
        max_pixels: larger images are quarantined without being decoded.

    Raises:
        SourceError: if no new item can be used.
        OutputExistsError: if `output` holds something already.
    """
    about = dataset.manifest
    options = PrepareOptions(image_size=about.image_size, fit=about.fit, max_pixels=max_pixels)
    with TemporaryDirectory() as scratch, whole_directory(output, if_exists=if_exists) as folder:
        items = write_images(source, _new_items(dataset, source), Path(scratch), options, progress)
        if items.height == 0:
            raise SourceError(
                f"NEW_ITEMS must hold at least one usable new item. Left out: {source.quarantine.summary()}."
            )
        join_images([(dataset.path, None), (Path(scratch), None)], folder)
        table = pl.concat([dataset.items.table, items.drop(ROW, "image")], how="diagonal")
        table.write_parquet(folder / ITEMS_NAME)
        for name in (USERS_NAME, INTERACTIONS_NAME):
            shutil.copyfile(dataset.path / name, folder / name)
        _join_quarantines(dataset, source).write(folder / QUARANTINE_NAME)
        duplicates = _join_duplicates(dataset, table, folder)
        duplicates.write_csv(folder / DUPLICATES_NAME)
        manifest = _manifest(dataset, source, items, folder, num_duplicate_items=duplicates.height)
        (folder / MANIFEST_NAME).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
    return PreparedDataset.open(output)


def _new_items(dataset: PreparedDataset, source: Source) -> pl.DataFrame:
    """The first row of each item id that is not in the catalogue."""
    items = distinct_items(source)
    known = pl.col("item_id").is_in(dataset.items.table["item_id"].implode())
    for row in items.filter(known).iter_rows(named=True):
        source.quarantine.add(source.items_name, row[ROW], row["item_id"], kind="item id already in the catalogue")
    return items.filter(~known)


def _join_quarantines(dataset: PreparedDataset, source: Source) -> Quarantine:
    """What was left out of the old dataset, then of the new items, under their folder's name."""
    old = pl.read_csv(dataset.path / QUARANTINE_NAME, infer_schema=False).fill_null("")
    entries = [(where, int(row) if row else None, value, reason) for where, row, value, reason in old.iter_rows()]
    new = [(f"{source.name}/{where}", row, value, reason) for where, row, value, reason in source.quarantine.entries]
    return Quarantine([*entries, *new], Counter(dataset.manifest.quarantine) + source.quarantine.counts)


def _join_duplicates(dataset: PreparedDataset, items: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """The duplicates among the old items, then new items whose image an earlier item has; they are only reported."""
    found = find_duplicates(items, folder)
    new = found.filter(~pl.col("item_id").is_in(dataset.items.table["item_id"].implode()))
    path = dataset.path / DUPLICATES_NAME
    return pl.concat([pl.read_csv(path, infer_schema=False), new]) if path.is_file() else new


def _manifest(
    dataset: PreparedDataset, source: Source, items: pl.DataFrame, folder: Path, *, num_duplicate_items: int
) -> Manifest:
    about, left_out = dataset.manifest, source.quarantine
    new_categories = sorted(set(items["category"].to_list()) - set(about.categories))
    files, fingerprint = file_records(folder)
    changed = {
        "categories": (*about.categories, *new_categories),
        "num_items": about.num_items + items.height,
        "num_cold_items": about.num_cold_items + items.height,
        "num_duplicate_items": num_duplicate_items,
        "num_quarantined": about.num_quarantined + len(left_out),
        "quarantine": dict(Counter(about.quarantine) + left_out.counts),
        "fingerprint": fingerprint,
        "files": files,
    }
    return about.model_copy(update=changed)
