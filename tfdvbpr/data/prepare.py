"""From a source to a prepared dataset, in one pass over the pictures."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from tfdvbpr.data.catalogue import CACHE_NAME, IMAGES_NAME
from tfdvbpr.data.dataset import (
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
from tfdvbpr.data.images import IMAGE_FITS, MAX_PIXELS, BrokenImageError, ImageFit, checked_jpeg, decoder
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.data.source import Source
from tfdvbpr.data.splits import leave_one_out
from tfdvbpr.data.tables import ROW
from tfdvbpr.errors import ConfigError, SourceError
from tfdvbpr.files import sha256, whole_directory

_MIN_IMAGE_SIDE = 16
_CHUNK = 256

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PrepareOptions:
    """How a source becomes a prepared dataset.

    Attributes:
        image_size: (height, width) of the decoded pictures, in pixels.
        fit: what happens to a photo of another shape: "pad", "crop" or "squash".
        seed: of the split and of the withheld items.
        withhold_items: fraction of the items kept out of training altogether.
        max_pixels: larger pictures are quarantined without being decoded.
        max_cache_bytes: the decoded uint8 cache is written if it fits into this many bytes.
    """

    image_size: tuple[int, int] = (64, 64)
    fit: ImageFit = "pad"
    seed: int = 0
    withhold_items: float = 0.0
    max_pixels: int = MAX_PIXELS
    max_cache_bytes: int = 8 << 30

    def __post_init__(self) -> None:
        if min(self.image_size) < _MIN_IMAGE_SIDE:
            raise ConfigError(f"`image_size` must be at least 16x16 pixels. Received {self.image_size}.")
        if self.fit not in IMAGE_FITS:
            raise ConfigError(f"`fit` must be one of {', '.join(IMAGE_FITS)}. Received {self.fit!r}.")
        if not 0.0 <= self.withhold_items < 1.0:
            raise ConfigError(f"`withhold_items` must be in [0, 1). Received {self.withhold_items}.")


def prepare(
    source: Source,
    output: Path,
    *,
    options: PrepareOptions,
    source_format: str,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PreparedDataset:
    """Writes a prepared dataset.

    Args:
        source: what an importer found; its quarantine is filled further.
        output: the folder to make; it appears whole or not at all.
        options: sizes, fit, split.
        source_format: the importer's name, for the manifest.
        overwrite: replace a folder that is already there.
        progress: called with (pictures read, pictures in all).

    Raises:
        SourceError: if no item or no action is left.
        OutputExistsError: if `output` holds something already.
    """
    with whole_directory(output, overwrite=overwrite) as folder:
        items = distinct_items(source)
        items = write_images(source, items, folder, options, progress)
        if items.height == 0:
            raise SourceError(
                f"The source must hold at least one usable item. Left out: {source.quarantine.summary()}."
            )
        actions = _distinct_actions(source, items)
        if actions.height == 0:
            raise SourceError(
                f"The source must hold at least one usable action. Left out: {source.quarantine.summary()}."
            )
        categories = tuple(sorted(items["category"].unique().to_list()))
        users = actions.select("user_id").unique(maintain_order=True)
        interactions = _split(actions, items, users, options)
        items.drop(ROW, "image").write_parquet(folder / ITEMS_NAME)
        users.write_parquet(folder / USERS_NAME)
        interactions.write(folder / INTERACTIONS_NAME)
        source.quarantine.write(folder / QUARANTINE_NAME)
        manifest = _manifest(source, source_format, options, folder, categories, interactions)
        (folder / MANIFEST_NAME).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
    return PreparedDataset.open(output)


def distinct_items(source: Source) -> pl.DataFrame:
    """The first row of each item id."""
    first = pl.col("item_id").is_first_distinct()
    for row in source.items.filter(~first).iter_rows(named=True):
        source.quarantine.add(source.items_name, row[ROW], row["item_id"], kind="duplicate item id")
    return source.items.filter(first)


def write_images(
    source: Source, items: pl.DataFrame, folder: Path, options: PrepareOptions, progress: Progress | None
) -> pl.DataFrame:
    """Packs every usable picture, writes the decoded cache if it fits, and returns the items that have one."""
    height, width = options.image_size
    keep: list[int] = []
    decoded_bytes = items.height * height * width * 3
    cache = (
        np.zeros((items.height, height, width, 3), np.uint8) if 0 < decoded_bytes <= options.max_cache_bytes else None
    )
    schema = pa.schema([("jpeg", pa.large_binary())])
    with pa.OSFile(str(folder / IMAGES_NAME), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for rows, results in _checked_images(source, items, options, with_pixels=cache is not None):
            packed = []
            for row, (jpeg, pixels) in zip(rows, results, strict=True):
                if jpeg is None:
                    continue
                if cache is not None and pixels is not None:
                    cache[len(keep)] = pixels
                keep.append(row)
                packed.append(jpeg)
            writer.write_batch(pa.record_batch([pa.array(packed, pa.large_binary())], schema=schema))
            if progress is not None:
                progress(rows[-1] + 1, items.height)
    if cache is not None:
        np.save(folder / CACHE_NAME, cache[: len(keep)], allow_pickle=False)
    return items[keep]


_Checked = tuple[bytes | None, "np.typing.NDArray[np.uint8] | None"]


def _checked_images(
    source: Source, items: pl.DataFrame, options: PrepareOptions, *, with_pixels: bool
) -> Iterator[tuple[list[int], list[_Checked]]]:
    """Chunks of (row numbers, (JPEG bytes, pixels) or (None, None) where the picture is quarantined)."""
    images, numbers = items["image"].to_list(), items[ROW].to_list()

    def check(row: int) -> tuple[bytes | None, np.typing.NDArray[np.uint8] | None, str]:
        try:
            jpeg = checked_jpeg(source.image_bytes(images[row]), max_pixels=options.max_pixels)
            pixels = _pixels(jpeg, options) if with_pixels else None
        except BrokenImageError as error:
            return None, None, str(error)
        except OSError as error:
            return None, None, f"cannot be read: {error.strerror or error}"
        return jpeg, pixels, ""

    with ThreadPoolExecutor() as pool:
        for start in range(0, items.height, _CHUNK):
            rows = list(range(start, min(start + _CHUNK, items.height)))
            results: list[_Checked] = []
            for row, (jpeg, pixels, reason) in zip(rows, pool.map(check, rows), strict=True):
                if jpeg is None:
                    source.quarantine.add(images[row], numbers[row], images[row], kind="broken image", detail=reason)
                results.append((jpeg, pixels))
            yield rows, results


def _pixels(jpeg: bytes, options: PrepareOptions) -> np.typing.NDArray[np.uint8]:
    import tensorflow as tf

    try:
        pixels: np.typing.NDArray[np.uint8] = decoder(options.image_size, options.fit)(jpeg).numpy()
    except tf.errors.InvalidArgumentError:
        raise BrokenImageError("cannot be decoded by TensorFlow") from None
    return pixels


def _distinct_actions(source: Source, items: pl.DataFrame) -> pl.DataFrame:
    """Actions on usable items, each (user, item) pair once; the rest is quarantined."""
    usable = pl.col("item_id").is_in(items["item_id"].implode())
    listed = pl.col("item_id").is_in(source.items["item_id"].implode())
    actions = source.interactions
    repeated = pl.struct("user_id", "item_id").is_first_distinct().not_()
    marked = actions.with_columns(
        pl.when(~listed)
        .then(pl.lit("unknown item id"))
        .when(~usable)
        .then(pl.lit("action on a quarantined item"))
        .when(repeated)
        .then(pl.lit("duplicate action"))
        .alias("kind")
    )
    for row in marked.filter(pl.col("kind").is_not_null()).iter_rows(named=True):
        value = f"{row['user_id']},{row['item_id']}"
        source.quarantine.add(source.interactions_name, row[ROW], value, kind=row["kind"])
    return marked.filter(pl.col("kind").is_null()).select("user_id", "item_id")


def _split(actions: pl.DataFrame, items: pl.DataFrame, users: pl.DataFrame, options: PrepareOptions) -> Interactions:
    user_index = users.with_row_index("user")
    item_index = items.select("item_id").with_row_index("item")
    table = (
        actions.join(user_index, on="user_id", how="left", maintain_order="left")
        .join(item_index, on="item_id", how="left", maintain_order="left")
        .select(pl.col("user").cast(pl.Int32), pl.col("item").cast(pl.Int32))
        .sort("user", maintain_order=True)
    )
    user_ids, item_ids = table["user"].to_numpy(), table["item"].to_numpy()
    splits = leave_one_out(
        user_ids, item_ids, num_items=items.height, withhold_items=options.withhold_items, seed=options.seed
    )
    return Interactions(user_ids, item_ids, splits, users.height, items.height)


def _manifest(
    source: Source,
    source_format: str,
    options: PrepareOptions,
    folder: Path,
    categories: tuple[str, ...],
    interactions: Interactions,
) -> Manifest:
    files, fingerprint = file_records(folder)
    counts = Counter(interactions.splits.tolist())
    return Manifest(
        format_version=FORMAT_VERSION,
        name=source.name,
        source_format=source_format,
        image_size=options.image_size,
        fit=options.fit,
        seed=options.seed,
        withhold_items=options.withhold_items,
        categories=categories,
        num_users=interactions.num_users,
        num_items=interactions.num_items,
        num_interactions=len(interactions),
        num_train=counts[Split.TRAIN],
        num_validation=counts[Split.VALIDATION],
        num_test=counts[Split.TEST],
        num_withheld=counts[Split.WITHHELD],
        num_cold_items=int(interactions.cold_items().sum()),
        num_quarantined=len(source.quarantine),
        quarantine=dict(source.quarantine.counts),
        fingerprint=fingerprint,
        files=files,
    )


def file_records(folder: Path) -> tuple[dict[str, FileRecord], str]:
    """Sizes and hashes of a dataset's files, by name, and the fingerprint of all but the quarantine."""
    files = {
        path.name: FileRecord(num_bytes=path.stat().st_size, sha256=sha256(path)) for path in sorted(folder.iterdir())
    }
    told = "".join(f"{name} {record.sha256}\n" for name, record in files.items() if name != QUARANTINE_NAME)
    return files, hashlib.sha256(told.encode()).hexdigest()[:16]
