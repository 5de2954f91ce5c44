"""More items for a prepared dataset."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from tfdvbpr.data.dataset import (
    DUPLICATES_NAME,
    HEALTH_NAME,
    INTERACTIONS_NAME,
    ITEMS_NAME,
    MANIFEST_NAME,
    QUARANTINE_NAME,
    USERS_NAME,
    Manifest,
    PreparedDataset,
)
from tfdvbpr.data.images.decoding import MAX_PIXELS
from tfdvbpr.data.preparation.health import Evidence, HealthReport, check_health
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.data.preparation.packing import Progress, distinct_items, find_duplicates, join_images, write_images
from tfdvbpr.data.preparation.prepare import file_records
from tfdvbpr.data.preparation.refusal import check_left, forget_refusal, refused_beside
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import Source
from tfdvbpr.errors import DatasetError
from tfdvbpr.files import IfExists, reading, whole_directory, write_csv


def extend(
    dataset: PreparedDataset,
    source: Source,
    output: Path,
    *,
    max_pixels: int = MAX_PIXELS,
    beside: Path | None = None,
    if_exists: IfExists = "error",
    progress: Progress | None = None,
) -> PreparedDataset:
    """Writes a dataset whose first items are those of another and whose last ones are new.

    Items, users, actions and the split of the old dataset stay as they are, and so do the ids of its categories: new
    categories follow in alphabetical order. The quarantine and the health report are those of the new items alone.

    Args:
        dataset: the old one; its image size and fit are used.
        source: the new items; its quarantine is filled further, also with ids that the catalogue has already. Its
            interactions are ignored.
        max_pixels: larger images are quarantined without being decoded.
        beside: the quarantine goes beside this folder where no new item can be used; left out, beside `output`.

    Raises:
        SourceError: if no new item can be used.
        OutputExistsError: if `output` holds something already.
    """
    about = dataset.manifest
    options = PrepareOptions(image_size=about.image_size, fit=about.fit, max_pixels=max_pixels)
    with TemporaryDirectory() as scratch, whole_directory(output, if_exists=if_exists) as folder:
        items, photos = write_images(source, _new_items(dataset, source), Path(scratch), options, progress)
        health = _health_of_new_items(source, items, photos, Path(scratch))
        with refused_beside(beside or output, source, health):
            check_left(source, items, "new item")
        join_images([(dataset.path, None), (Path(scratch), None)], folder)
        table = pl.concat([dataset.items.table, items.drop(ROW, "image")], how="diagonal")
        table.write_parquet(folder / ITEMS_NAME)
        for name in (USERS_NAME, INTERACTIONS_NAME):
            shutil.copyfile(dataset.path / name, folder / name)
        source.quarantine.write(folder / QUARANTINE_NAME)
        health.write(folder / HEALTH_NAME)
        duplicates = _join_duplicates(dataset, table, folder)
        write_csv(duplicates, folder / DUPLICATES_NAME)
        manifest = _extended_manifest(dataset, source, items, folder, num_duplicate_items=duplicates.height)
        (folder / MANIFEST_NAME).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
    forget_refusal(beside or output)
    return PreparedDataset.open(output)


def _health_of_new_items(source: Source, items: pl.DataFrame, photos: pl.DataFrame, folder: Path) -> HealthReport:
    actions = pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.String, "time": pl.Float64})
    return check_health(Evidence(source, items, actions, photos, find_duplicates(items, folder), max_loss=1.0))


def _new_items(dataset: PreparedDataset, source: Source) -> pl.DataFrame:
    """The first row of each item id that is not in the catalogue."""
    items = distinct_items(source)
    known = pl.col("item_id").is_in(dataset.items.table["item_id"].implode())
    for row in items.filter(known).iter_rows(named=True):
        item_id = row["item_id"]
        kind = "item id already in the catalogue"
        source.quarantine.add(source.items_name, row[ROW], item_id, kind=kind, item_id=item_id)
    return items.filter(~known)


def _join_duplicates(dataset: PreparedDataset, items: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """The duplicates among the old items, then new items whose image an earlier item has; they are only reported."""
    found = find_duplicates(items, folder)
    new = found.filter(~pl.col("item_id").is_in(dataset.items.table["item_id"].implode()))
    path = dataset.path / DUPLICATES_NAME
    if not path.is_file():
        return new
    with reading(path, DatasetError, "Prepare it again."):
        return pl.concat([pl.read_csv(path, infer_schema=False, glob=False), new])


def _extended_manifest(
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
        "num_quarantined": len(left_out),
        "quarantine": dict(left_out.counts),
        "fingerprint": fingerprint,
        "files": files,
    }
    return about.model_copy(update=changed)
