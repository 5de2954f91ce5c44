"""From a source to a prepared dataset, in one pass over the images; and a larger dataset by further items."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import polars as pl

from tfdvbpr.data import DuplicateHandling, ImageFit, SplitKind
from tfdvbpr.data.dataset import (
    DUPLICATES_NAME,
    FORMAT_VERSION,
    INTERACTIONS_NAME,
    ITEMS_NAME,
    MANIFEST_NAME,
    QUARANTINE_NAME,
    USERS_NAME,
    FileRecord,
    Manifest,
    PreparedDataset,
)
from tfdvbpr.data.images.decoding import MAX_PIXELS
from tfdvbpr.data.interactions import SPLITS, Actions, Interactions, Split, split_actions
from tfdvbpr.data.preparation.cleaning import chosen_split, k_core, usable_actions
from tfdvbpr.data.preparation.packing import Progress, distinct_items, find_duplicates, join_images, write_images
from tfdvbpr.data.preparation.source import Quarantine, Source
from tfdvbpr.data.preparation.tables import ROW
from tfdvbpr.errors import ConfigError, DatasetError, SourceError, check_choice
from tfdvbpr.files import IfExists, reading, sha256, whole_directory, write_csv

_MIN_IMAGE_SIDE = 16
# Reports; what training reads is the same with and without them.
_NOT_IN_FINGERPRINT = (QUARANTINE_NAME, DUPLICATES_NAME)
_NOT_IN_MANIFEST = ("max_pixels", "max_cache_bytes")


@dataclass(frozen=True)
class PrepareOptions:
    """How a source becomes a prepared dataset.

    Attributes:
        image_size: (height, width) of the decoded images, in pixels.
        fit: what happens to an image of another shape: "pad", "crop" or "squash".
        max_pixels: larger images are quarantined without being decoded.
        max_cache_bytes: the decoded uint8 cache is written if it fits into this many bytes.
        seed: of the split and of the withheld items.
        withhold_items: fraction of the items kept out of training altogether.
        split: a name in SPLITS; left out, the source's own split if it has one, else "leave-one-out".
        validation_fraction: part of the actions that `split="time"` validates on.
        test_fraction: part of the actions, the latest, that `split="time"` tests on.
        min_user_actions: users with fewer are left out; together with `min_item_actions` until nothing changes.
        min_item_actions: items with fewer are left out of the catalogue; 1 leaves out those without any.
        duplicates: items with the same image are only reported ("keep"), or their actions moved onto the first
            of them ("merge").
    """

    image_size: tuple[int, int] = (64, 64)
    fit: ImageFit = "pad"
    max_pixels: int = MAX_PIXELS
    max_cache_bytes: int = 8 << 30
    seed: int = 0
    withhold_items: float = 0.0
    split: SplitKind | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    min_user_actions: int = 0
    min_item_actions: int = 0
    duplicates: DuplicateHandling = "keep"

    def __post_init__(self) -> None:
        if min(self.image_size) < _MIN_IMAGE_SIDE:
            raise ConfigError(f"`image_size` must be at least 16x16 pixels. Received {self.image_size}.")
        check_choice("fit", self.fit, get_args(ImageFit))
        if not 0.0 <= self.withhold_items < 1.0:
            raise ConfigError(f"`withhold_items` must be in [0, 1). Received {self.withhold_items}.")
        if self.split is not None:
            check_choice("split", self.split, SPLITS)
        check_choice("duplicates", self.duplicates, get_args(DuplicateHandling))
        fractions = (self.validation_fraction, self.test_fraction)
        if not (min(fractions) >= 0.0 and sum(fractions) < 1.0):
            raise ConfigError(
                "`validation_fraction` and `test_fraction` must be at least 0 and together less than 1. "
                f"Received {fractions[0]} and {fractions[1]}."
            )
        for name in ("min_user_actions", "min_item_actions"):
            if getattr(self, name) < 0:
                raise ConfigError(f"`{name}` must be at least 0. Received {getattr(self, name)}.")


def prepare(
    source: Source,
    output: Path,
    *,
    options: PrepareOptions,
    source_format: str,
    if_exists: IfExists = "error",
    progress: Progress | None = None,
) -> PreparedDataset:
    """Writes a prepared dataset.

    Args:
        source: an importer's; its quarantine is filled further.
        output: the folder to make; it appears whole or not at all.
        if_exists: "error", or "overwrite" to replace a folder that is already there.
        progress: called with (images read, images in all).

    Raises:
        SourceError: if no item or no action is left, or the source lacks what the split needs.
        OutputExistsError: if `output` holds something already.
    """
    split = chosen_split(source, options.split)
    with whole_directory(output, if_exists=if_exists) as folder:
        packed = write_images(source, distinct_items(source), folder, options, progress)
        _check_left(source, packed, "item")
        duplicates = find_duplicates(packed, folder)
        merged = duplicates if options.duplicates == "merge" else duplicates.clear()
        actions = usable_actions(source, packed, split=split, duplicates=merged)
        _check_left(source, actions, "action")
        items = packed.join(merged, on="item_id", how="anti", maintain_order="left")
        items, actions, filtered = _filtered(items, actions, options)
        if items.height < packed.height:
            kept = packed["item_id"].is_in(items["item_id"].implode()).to_numpy()
            join_images([(folder, kept)], folder)
        users = actions.select("user_id").unique(maintain_order=True)
        interactions = _split(actions, items, users, split, options)
        items.drop(ROW, "image").write_parquet(folder / ITEMS_NAME)
        users.write_parquet(folder / USERS_NAME)
        interactions.write(folder / INTERACTIONS_NAME)
        write_csv(duplicates, folder / DUPLICATES_NAME)
        source.quarantine.write(folder / QUARANTINE_NAME)
        manifest = _manifest(
            source,
            replace(options, split=split),
            folder,
            interactions,
            source_format=source_format,
            categories=tuple(sorted(items["category"].unique().to_list())),
            num_duplicate_items=duplicates.height,
            filtered=filtered,
        )
        (folder / MANIFEST_NAME).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
    return PreparedDataset.open(output)


def _check_left(source: Source, table: pl.DataFrame, what: str) -> None:
    if table.height == 0:
        raise SourceError(f"The source must hold at least one usable {what}. Left out: {source.quarantine.summary()}.")


def _filtered(
    items: pl.DataFrame, actions: pl.DataFrame, options: PrepareOptions
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """Items and actions that the filters keep, and the numbers of users, items and actions that they do not."""
    least = {"min_user_actions": options.min_user_actions, "min_item_actions": options.min_item_actions}
    kept = k_core(actions, **least)
    if kept.height == 0:
        raise SourceError(
            f"The filters must leave at least one of {actions.height} actions. --min-user-actions "
            f"{options.min_user_actions} and --min-item-actions {options.min_item_actions} leave none. Lower them."
        )
    kept_items = items
    if options.min_item_actions > 0:
        kept_items = items.join(kept, on="item_id", how="semi", maintain_order="left")
    filtered = {
        "users": actions["user_id"].n_unique() - kept["user_id"].n_unique(),
        "items": items.height - kept_items.height,
        "actions": actions.height - kept.height,
    }
    return kept_items, kept, filtered


def _split(
    actions: pl.DataFrame, items: pl.DataFrame, users: pl.DataFrame, kind: SplitKind, options: PrepareOptions
) -> Interactions:
    user_index = users.with_row_index("user")
    item_index = items.select("item_id").with_row_index("item")
    table = (
        actions.join(user_index, on="user_id", how="left", maintain_order="left")
        .join(item_index, on="item_id", how="left", maintain_order="left")
        .with_columns(pl.col("user").cast(pl.Int32), pl.col("item").cast(pl.Int32))
        .sort("user", maintain_order=True)
    )
    user_ids, item_ids = table["user"].to_numpy(), table["item"].to_numpy()
    times = table["time"].fill_null(np.nan).to_numpy()
    method, fractions = SPLITS[kind], (options.validation_fraction, options.test_fraction)
    given = table["part"].to_numpy() if method.needs_given else None
    splits = split_actions(
        Actions(user_ids, item_ids, times if method.needs_times else None, given, fractions),
        kind=kind,
        num_items=items.height,
        withhold_items=options.withhold_items,
        seed=options.seed,
    )
    timestamps = None if np.isnan(times).all() else times
    return Interactions(user_ids, item_ids, splits, users.height, items.height, timestamps)


def _manifest(
    source: Source, options: PrepareOptions, folder: Path, interactions: Interactions, **fields: Any
) -> Manifest:
    """The manifest of what lies in `folder`; `fields` are those that the other arguments do not determine."""
    files, fingerprint = file_records(folder)
    counts = Counter(interactions.splits.tolist())
    return Manifest(
        format_version=FORMAT_VERSION,
        name=source.name,
        **{name: value for name, value in asdict(options).items() if name not in _NOT_IN_MANIFEST},
        num_users=interactions.num_users,
        num_items=interactions.num_items,
        num_interactions=len(interactions),
        num_train=counts[Split.TRAIN],
        num_validation=counts[Split.VALIDATION],
        num_test=counts[Split.TEST],
        num_withheld=counts[Split.WITHHELD],
        num_timed=interactions.num_timed,
        num_untrained_users=interactions.num_untrained_users,
        num_cold_items=int(interactions.cold_items().sum()),
        num_quarantined=len(source.quarantine),
        quarantine=dict(source.quarantine.counts),
        fingerprint=fingerprint,
        files=files,
        **fields,
    )


def file_records(folder: Path) -> tuple[dict[str, FileRecord], str]:
    """Sizes and hashes of a dataset's files, by name, and the fingerprint of those that training reads."""
    files = {
        path.name: FileRecord(num_bytes=path.stat().st_size, sha256=sha256(path)) for path in sorted(folder.iterdir())
    }
    listed = "".join(f"{name} {record.sha256}\n" for name, record in files.items() if name not in _NOT_IN_FINGERPRINT)
    return files, hashlib.sha256(listed.encode()).hexdigest()[:16]


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
        write_csv(duplicates, folder / DUPLICATES_NAME)
        manifest = _extended_manifest(dataset, source, items, folder, num_duplicate_items=duplicates.height)
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
    path = dataset.path / QUARANTINE_NAME
    with reading(path, DatasetError, "Prepare it again."):
        old = pl.read_csv(path, infer_schema=False, glob=False).fill_null("")
        entries = [(where, int(row) if row else None, value, reason) for where, row, value, reason in old.iter_rows()]
    new = [(f"{source.name}/{where}", row, value, reason) for where, row, value, reason in source.quarantine.entries]
    return Quarantine([*entries, *new], Counter(dataset.manifest.quarantine) + source.quarantine.counts)


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
        "num_quarantined": about.num_quarantined + len(left_out),
        "quarantine": dict(Counter(about.quarantine) + left_out.counts),
        "fingerprint": fingerprint,
        "files": files,
    }
    return about.model_copy(update=changed)
