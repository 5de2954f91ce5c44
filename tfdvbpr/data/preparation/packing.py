"""The images of a source, checked and packed into the files that `storage.ItemImages` reads; duplicates among them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tfdvbpr.data.images.decoding import BrokenImageError, ImageFacts, decoder, inspected_jpeg
from tfdvbpr.data.images.storage import CACHE_NAME, IMAGES_NAME
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import Source
from tfdvbpr.files import whole_file

if TYPE_CHECKING:
    from tfdvbpr.data.preparation.options import PrepareOptions

_CHUNK = 256
_SCHEMA = pa.schema([("jpeg", pa.large_binary())])
_DIGEST = "__digest__"

Progress = Callable[[int, int], None]
Pixels = npt.NDArray[np.uint8]
_Checked = tuple[bytes, ImageFacts, Pixels | None]
_NO_IMAGE = "Give the item an image, or take its row out of the table."


def distinct_items(source: Source) -> pl.DataFrame:
    """The first row of each item id; the others are quarantined."""
    first = pl.col("item_id").is_first_distinct()
    for row in source.items.filter(~first).iter_rows(named=True):
        item_id = row["item_id"]
        source.quarantine.add(source.items_name, row[ROW], item_id, kind="duplicate item id", item_id=item_id)
    return source.items.filter(first)


def write_images(
    source: Source, items: pl.DataFrame, folder: Path, options: PrepareOptions, progress: Progress | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Packs every usable image, and the decoded cache if it fits; the other images are quarantined.

    Args:
        progress: called with (images read, images in all).

    Returns:
        The items whose image was packed, in order, and their columns item_id, width, height (pixels) and blank.
    """
    shape = (items.height, *options.image_size, 3)
    keep: list[int] = []
    facts: list[ImageFacts] = []
    cache = np.zeros(shape, np.uint8) if 0 < np.prod(shape) <= options.max_cache_bytes else None
    with pa.OSFile(str(folder / IMAGES_NAME), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        for rows, images in _checked_chunks(source, items, options, with_pixels=cache is not None):
            packed = []
            for row, image in zip(rows, images, strict=True):
                if isinstance(image, str):
                    _leave_out(source, items.row(row, named=True), image)
                    continue
                jpeg, about, pixels = image
                if cache is not None and pixels is not None:
                    cache[len(keep)] = pixels
                keep.append(row)
                facts.append(about)
                packed.append(jpeg)
            writer.write_batch(pa.record_batch([pa.array(packed, pa.large_binary())], schema=_SCHEMA))
            if progress is not None:
                progress(rows[-1] + 1, items.height)
    if cache is not None:
        np.save(folder / CACHE_NAME, cache[: len(keep)], allow_pickle=False)
    kept = items[keep]
    schema = {"width": pl.Int64, "height": pl.Int64, "blank": pl.Boolean}
    photos = pl.DataFrame([(each.width, each.height, each.blank) for each in facts], schema=schema, orient="row")
    return kept, kept.select("item_id").hstack(photos)


def _leave_out(source: Source, item: dict[str, Any], detail: str) -> None:
    path, number, item_id = item["image"] or "", item[ROW], item["item_id"]
    if not path:
        source.quarantine.add(source.items_name, number, item_id, kind="no image", item_id=item_id, hint=_NO_IMAGE)
        return
    hint = source.image_hint(path) if detail.startswith("cannot be read") else ""
    source.quarantine.add(path, number, path, kind="broken image", detail=detail, item_id=item_id, hint=hint)


def _checked_chunks(
    source: Source, items: pl.DataFrame, options: PrepareOptions, *, with_pixels: bool
) -> Iterator[tuple[range, list[_Checked | str]]]:
    """Chunks of row numbers and their JPEG and pixels, or what is wrong; in order, read by several threads."""
    paths = items["image"].to_list()

    def check(row: int) -> _Checked | str:
        if not paths[row]:
            return "no image"
        try:
            jpeg, about = inspected_jpeg(source.image_bytes(paths[row]), max_pixels=options.max_pixels)
            return jpeg, about, _pixels(jpeg, options) if with_pixels else None
        except BrokenImageError as error:
            return str(error)
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"

    with ThreadPoolExecutor() as pool:
        for start in range(0, items.height, _CHUNK):
            rows = range(start, min(start + _CHUNK, items.height))
            yield rows, list(pool.map(check, rows))


def _pixels(jpeg: bytes, options: PrepareOptions) -> Pixels:
    import tensorflow as tf

    try:
        pixels: Pixels = decoder(options.image_size, options.fit)(jpeg).numpy()
    except tf.errors.InvalidArgumentError:
        raise BrokenImageError("cannot be decoded by TensorFlow") from None
    return pixels


def join_images(parts: Sequence[tuple[Path, npt.NDArray[np.bool_] | None]], output: Path) -> None:
    """Writes the images of packed folders, one after another, and their decoded caches where all have one.

    Args:
        parts: folders that `write_images` filled, and of each which images to keep, bool [N], or None for all.
        output: the folder to write to; it may be one of them.
    """
    with (
        whole_file(output / IMAGES_NAME) as scratch,
        pa.OSFile(str(scratch), "wb") as sink,
        pa.ipc.new_file(sink, _SCHEMA) as writer,
    ):
        for folder, kept in parts:
            start = 0
            for batch in _batches(folder):
                mask = None if kept is None else pa.array(kept[start : start + batch.num_rows])
                writer.write_batch(batch if mask is None else batch.filter(mask))
                start += batch.num_rows
    if not all((folder / CACHE_NAME).is_file() for folder, _ in parts):
        return
    caches = [np.load(folder / CACHE_NAME, mmap_mode="r", allow_pickle=False) for folder, _ in parts]
    rows = [
        np.arange(len(c)) if kept is None else np.flatnonzero(kept) for c, (_, kept) in zip(caches, parts, strict=True)
    ]
    # Written, not mapped: where the disk is full, a map ends the process.
    with whole_file(output / CACHE_NAME) as scratch, scratch.open("wb") as file:
        shape = (sum(map(len, rows)), *caches[0].shape[1:])
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for cache, chosen in zip(caches, rows, strict=True):
            for chunk in np.split(chosen, range(_CHUNK, len(chosen), _CHUNK)):
                file.write(cache[chunk].tobytes())


def _batches(folder: Path) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(str(folder / IMAGES_NAME)) as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def find_duplicates(items: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Later items whose stored image is the same file, byte for byte, as that of an earlier one.

    Stored is what `checked_jpeg` returns: a JPEG unchanged, anything else re-encoded, so that a PNG and a lossless WebP
    of the same pixels are equal, and two JPEGs with other metadata are not. Similar images are not searched for.

    Args:
        items: columns item_id and category, in the order of the packed images.

    Returns:
        Columns item_id, first_item_id, category, first_category; one row a later item.
    """
    jpegs = (jpeg.as_py() for batch in _batches(folder) for jpeg in batch.column("jpeg"))
    digests = [hashlib.blake2b(jpeg, digest_size=16).hexdigest() for jpeg in jpegs]
    first = pl.col("item_id", "category").first().over(_DIGEST).name.prefix("first_")
    return (
        items.with_columns(pl.Series(_DIGEST, digests, pl.String))
        .select("item_id", "category", first)
        .filter(pl.col("item_id") != pl.col("first_item_id"))
        .select("item_id", "first_item_id", "category", "first_category")
    )
