"""From a source to a prepared dataset, in one pass over the images; and a larger dataset by further items."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
from tfdvbpr.data.images.decoding import MAX_PIXELS
from tfdvbpr.data.interactions import SPLITS, Actions, Interactions, Split, split_actions
from tfdvbpr.data.preparation.cleaning import chosen_split, k_core, usable_actions
from tfdvbpr.data.preparation.health import HEALTH_CHECKS, Evidence, HealthReport, check_health
from tfdvbpr.data.preparation.packing import Progress, distinct_items, find_duplicates, join_images, write_images
from tfdvbpr.data.preparation.source import Source
from tfdvbpr.data.preparation.tables import ROW
from tfdvbpr.errors import ConfigError, DatasetError, SourceError, check_choice
from tfdvbpr.files import IfExists, reading, sha256, whole_directory, write_csv

_MIN_IMAGE_SIDE = 16
# Reports; what training reads is the same with and without them.
_NOT_IN_FINGERPRINT = (QUARANTINE_NAME, DUPLICATES_NAME, HEALTH_NAME)
_NOT_IN_MANIFEST = ("max_pixels", "max_cache_bytes", "max_loss", "allow")


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
        max_loss: the largest share of the rows of a table that may be lost, in [0, 1], filters and repetitions aside.
        allow: names of HEALTH_CHECKS whose errors do not end the preparation.
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
    max_loss: float = 0.1
    allow: tuple[str, ...] = ()

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
        if not 0.0 <= self.max_loss <= 1.0:
            raise ConfigError(f"`max_loss` must be in [0, 1]. Received {self.max_loss}.")
        for each in self.allow:
            check_choice("allow", each, HEALTH_CHECKS)
        for name in ("min_user_actions", "min_item_actions"):
            if getattr(self, name) < 0:
                raise ConfigError(f"`{name}` must be at least 0. Received {getattr(self, name)}.")


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
    actions = usable_actions(source, items, split=split, duplicates=merged)
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


def refuse(health: HealthReport, options: PrepareOptions) -> None:
    """Ends where nothing is left, or an error of the health checks is not allowed.

    Raises:
        SourceError: with the first error, what to do, and how many more there are.
    """
    errors = health.errors_left(options.allow)
    if errors:
        first, *others = errors
        more = f" Further errors: {', '.join(each.check for each in others)}." if others else ""
        raise SourceError(f"{first.title} {first.advice}{more}")


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
        with _refused_beside(output, source, found.health):
            _check_left(source, found.items, "item")
            refuse(found.health, options)
            _check_left(source, found.actions, "action")
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
    _forget_refusal(output)
    return PreparedDataset.open(output)


def _check_left(source: Source, table: pl.DataFrame, what: str) -> None:
    if table.height == 0:
        raise SourceError(f"The source must hold at least one usable {what}. Left out: {source.quarantine.summary()}.")


def refused_folder(output: Path) -> Path:
    """Where the reasons go when a source is refused."""
    return output.with_name(f"{output.name}.refused")


@contextmanager
def _refused_beside(output: Path, source: Source, health: HealthReport) -> Iterator[None]:
    """Where the source is refused within the block, writes why beside the output."""
    try:
        yield
    except SourceError as error:
        beside = refused_folder(output)
        beside.mkdir(exist_ok=True)
        source.quarantine.write(beside / QUARANTINE_NAME)
        health.write(beside / HEALTH_NAME)
        raise SourceError(f"{error} Every row that is left out: {beside / QUARANTINE_NAME}") from None


def _forget_refusal(output: Path) -> None:
    """Removes what an earlier, refused preparation wrote beside the output."""
    beside = refused_folder(output)
    for name in (QUARANTINE_NAME, HEALTH_NAME):
        (beside / name).unlink(missing_ok=True)
    with suppress(OSError):  # the user may keep files of theirs there
        beside.rmdir()


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
        with _refused_beside(beside or output, source, health):
            _check_left(source, items, "new item")
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
    _forget_refusal(beside or output)
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
