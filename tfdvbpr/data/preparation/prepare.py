"""From a source to a prepared dataset, in one pass over the images."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from tfdvbpr.data import SplitKind
from tfdvbpr.data.dataset import (
    DUPLICATES_NAME,
    FORMAT_VERSION,
    HEALTH_NAME,
    INTERACTIONS_NAME,
    ITEMS_NAME,
    MANIFEST_NAME,
    QUARANTINE_NAME,
    USERS_NAME,
    FileRecord,
    Manifest,
    PreparedDataset,
)
from tfdvbpr.data.interactions import SPLITS, Actions, Interactions, Split, split_actions
from tfdvbpr.data.preparation.cleaning import chosen_split, k_core, usable_actions
from tfdvbpr.data.preparation.health import Evidence, HealthReport, check_health
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.data.preparation.packing import Progress, distinct_items, find_duplicates, join_images, write_images
from tfdvbpr.data.preparation.refusal import check_left, forget_refusal, refuse, refused_beside
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import Source
from tfdvbpr.errors import SourceError
from tfdvbpr.files import IfExists, sha256, whole_directory, write_csv

# Reports; what training reads is the same with and without them.
_NOT_IN_FINGERPRINT = (QUARANTINE_NAME, DUPLICATES_NAME, HEALTH_NAME)
_NOT_IN_MANIFEST = ("max_pixels", "max_cache_bytes", "max_loss", "allow", "date_order")


@dataclass(frozen=True)
class _Usable:
    """What can be used of a source; its images are packed in a folder."""

    items: pl.DataFrame
    actions: pl.DataFrame
    duplicates: pl.DataFrame
    merged: pl.DataFrame
    health: HealthReport


def _usable(
    source: Source, folder: Path, split: SplitKind, options: PrepareOptions, progress: Progress | None
) -> _Usable:
    """Packs the images into the folder, finds the usable actions, and runs the health checks."""
    items, photos = write_images(source, distinct_items(source), folder, options, progress)
    duplicates = find_duplicates(items, folder)
    merged = duplicates if options.duplicates == "merge" else duplicates.clear()
    actions = usable_actions(source, items, split=split, duplicates=merged, date_order=options.date_order)
    health = check_health(
        Evidence(source, items, actions, photos, duplicates, method=SPLITS[split], max_loss=options.max_loss)
    )
    return _Usable(items, actions, duplicates, merged, health)


def check_source(source: Source, *, options: PrepareOptions, progress: Progress | None = None) -> HealthReport:
    """Runs the health checks of a source and writes nothing that stays.

    Args:
        source: an importer's; its quarantine is filled further.
        options: as of `prepare`.
        progress: called with (images read, images in all).

    Raises:
        SourceError: if the source lacks what the split needs.
    """
    split = chosen_split(source, options.split)
    with TemporaryDirectory() as scratch:
        return _usable(source, Path(scratch), split, replace(options, max_cache_bytes=0), progress).health


def prepare(
    source: Source,
    output: Path,
    *,
    options: PrepareOptions,
    source_format: str,
    if_exists: IfExists = "error",
    progress: Progress | None = None,
    on_health: Callable[[HealthReport], None] | None = None,
) -> PreparedDataset:
    """Writes a prepared dataset.

    Where the source is refused, its quarantine and health report go into a folder beside `output`, OUTPUT.refused.

    Args:
        source: an importer's; its quarantine is filled further.
        output: the folder to make; it appears whole or not at all.
        if_exists: "error", or "overwrite" to replace a folder that is already there.
        progress: called with (images read, images in all).
        on_health: called with the health report, before a source is refused.

    Raises:
        SourceError: if no item or no action is left, the source lacks what the split needs, or a health check found
            an error that `options` do not allow.
        OutputExistsError: if `output` holds something already.
    """
    split = chosen_split(source, options.split)
    with whole_directory(output, if_exists=if_exists) as folder:
        found = _usable(source, folder, split, options, progress)
        if on_health is not None:
            on_health(found.health)
        with refused_beside(output, source, found.health):
            check_left(source, found.items, "item")
            refuse(found.health, options)
            check_left(source, found.actions, "action")
        items = found.items.join(found.merged, on="item_id", how="anti", maintain_order="left")
        items, actions, filtered = _filtered(items, found.actions, options)
        if items.height < found.items.height:
            kept = found.items["item_id"].is_in(items["item_id"].implode()).to_numpy()
            join_images([(folder, kept)], folder)
        users = actions.select("user_id").unique(maintain_order=True)
        interactions = _split(actions, items, users, split, options)
        items.drop(ROW, "image").write_parquet(folder / ITEMS_NAME)
        users.write_parquet(folder / USERS_NAME)
        interactions.write(folder / INTERACTIONS_NAME)
        write_csv(found.duplicates, folder / DUPLICATES_NAME)
        source.quarantine.write(folder / QUARANTINE_NAME)
        found.health.write(folder / HEALTH_NAME)
        manifest = _manifest(
            source,
            replace(options, split=split),
            folder,
            interactions,
            source_format=source_format,
            categories=tuple(sorted(items["category"].unique().to_list())),
            num_duplicate_items=found.duplicates.height,
            filtered=filtered,
        )
        (folder / MANIFEST_NAME).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
    forget_refusal(output)
    return PreparedDataset.open(output)


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
