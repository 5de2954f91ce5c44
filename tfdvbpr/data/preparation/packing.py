"""The images of a source, checked, packed into the files of a prepared dataset, and compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tfdvbpr.data import ImageFit
from tfdvbpr.data.images.decoding import MAX_PIXELS, BrokenImageError, checked_jpeg, decoder
from tfdvbpr.data.images.storage import CACHE_NAME, IMAGES_NAME
from tfdvbpr.data.preparation.source import Source
from tfdvbpr.data.preparation.tables import ROW
from tfdvbpr.errors import ConfigError, check_choice
from tfdvbpr.files import whole_file

_MIN_IMAGE_SIDE = 16
_CHUNK = 256
_SCHEMA = pa.schema([("jpeg", pa.large_binary())])

Progress = Callable[[int, int], None]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PictureOptions:
    """How pictures are checked and packed.

    Attributes:
        image_size: (height, width) of the decoded pictures, in pixels.
        fit: what happens to a photo of another shape: "pad", "crop" or "squash".
        max_pixels: larger pictures are quarantined without being decoded.
        max_cache_bytes: the decoded uint8 cache is written if it fits into this many bytes.
    """

    image_size: tuple[int, int] = (64, 64)
    fit: ImageFit = "pad"
    max_pixels: int = MAX_PIXELS
    max_cache_bytes: int = 8 << 30

    def __post_init__(self) -> None:
        if min(self.image_size) < _MIN_IMAGE_SIDE:
            raise ConfigError(f"`image_size` must be at least 16x16 pixels. Received {self.image_size}.")
        check_choice("fit", self.fit, get_args(ImageFit))


@dataclass(frozen=True)
class _Checked:
    """A picture as it is stored, or the reason why it is not."""

    jpeg: bytes = b""
    pixels: Pixels | None = None
    reason: str = ""


def distinct_items(source: Source) -> pl.DataFrame:
    """The first row of each item id; the others are quarantined."""
    first = pl.col("item_id").is_first_distinct()
    for row in source.items.filter(~first).iter_rows(named=True):
        source.quarantine.add(source.items_name, row[ROW], row["item_id"], kind="duplicate item id")
    return source.items.filter(first)


def write_images(
    source: Source, items: pl.DataFrame, folder: Path, options: PictureOptions, progress: Progress | None = None
) -> pl.DataFrame:
    """Packs every usable picture, and the decoded cache if it fits; the other pictures are quarantined.

    Args:
        source: reads the bytes; its quarantine is filled further.
        items: rows of `source.items`, each item id once.
        folder: where the files go.
        options: size, fit and limits.
        progress: called with (pictures read, pictures in all).

    Returns:
        The items whose picture was packed, in order.
    """
    height, width = options.image_size
    keep: list[int] = []
    decoded_bytes = items.height * height * width * 3
    cached = 0 < decoded_bytes <= options.max_cache_bytes
    cache = np.zeros((items.height, height, width, 3), np.uint8) if cached else None
    with pa.OSFile(str(folder / IMAGES_NAME), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        for rows, pictures in _checked_chunks(source, items, options, with_pixels=cached):
            packed = []
            for row, picture in zip(rows, pictures, strict=True):
                if picture.reason:
                    continue
                if cache is not None and picture.pixels is not None:
                    cache[len(keep)] = picture.pixels
                keep.append(row)
                packed.append(picture.jpeg)
            writer.write_batch(pa.record_batch([pa.array(packed, pa.large_binary())], schema=_SCHEMA))
            if progress is not None:
                progress(rows[-1] + 1, items.height)
    if cache is not None:
        np.save(folder / CACHE_NAME, cache[: len(keep)], allow_pickle=False)
    return items[keep]


def packed_jpegs(folder: Path) -> Iterator[bytes]:
    """The stored files of a packed folder, in order."""
    with pa.memory_map(str(folder / IMAGES_NAME)) as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            for jpeg in reader.get_batch(number).column("jpeg"):
                yield jpeg.as_py()


def keep_images(folder: Path, kept: npt.NDArray[np.bool_]) -> None:
    """Takes pictures out of a packed folder.

    Args:
        folder: what `write_images` filled.
        kept: bool, one a packed picture.
    """
    path, start = folder / IMAGES_NAME, 0
    with (
        whole_file(path) as scratch,
        pa.memory_map(str(path)) as file,
        pa.OSFile(str(scratch), "wb") as sink,
        pa.ipc.new_file(sink, _SCHEMA) as writer,
    ):
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            writer.write_batch(batch.filter(pa.array(kept[start : start + batch.num_rows])))
            start += batch.num_rows
    if (folder / CACHE_NAME).is_file():
        _keep_cached(folder / CACHE_NAME, np.flatnonzero(kept))


def _keep_cached(path: Path, rows: npt.NDArray[np.integer[Any]]) -> None:
    cache = np.load(path, mmap_mode="r", allow_pickle=False)
    with whole_file(path) as scratch:
        smaller = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.uint8, shape=(len(rows), *cache.shape[1:]))
        for start in range(0, len(rows), _CHUNK):
            smaller[start : start + _CHUNK] = cache[rows[start : start + _CHUNK]]
        smaller.flush()


def _checked_chunks(
    source: Source, items: pl.DataFrame, options: PictureOptions, *, with_pixels: bool
) -> Iterator[tuple[list[int], list[_Checked]]]:
    """Chunks of row numbers and their pictures, in order, read by several threads."""
    images, numbers = items["image"].to_list(), items[ROW].to_list()

    def check(row: int) -> _Checked:
        try:
            jpeg = checked_jpeg(source.image_bytes(images[row]), max_pixels=options.max_pixels)
            pixels = _pixels(jpeg, options) if with_pixels else None
        except BrokenImageError as error:
            return _Checked(reason=str(error))
        except OSError as error:
            return _Checked(reason=f"cannot be read: {error.strerror or error}")
        return _Checked(jpeg, pixels)

    with ThreadPoolExecutor() as pool:
        for start in range(0, items.height, _CHUNK):
            rows = list(range(start, min(start + _CHUNK, items.height)))
            pictures = list(pool.map(check, rows))
            for row, picture in zip(rows, pictures, strict=True):
                if picture.reason:
                    source.quarantine.add(
                        images[row], numbers[row], images[row], kind="broken image", detail=picture.reason
                    )
            yield rows, pictures


def _pixels(jpeg: bytes, options: PictureOptions) -> Pixels:
    import tensorflow as tf

    try:
        pixels: Pixels = decoder(options.image_size, options.fit)(jpeg).numpy()
    except tf.errors.InvalidArgumentError:
        raise BrokenImageError("cannot be decoded by TensorFlow") from None
    return pixels


_DIGEST = "__digest__"


def find_duplicates(items: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Later items whose stored picture is the same file, byte for byte, as that of an earlier one.

    Stored is what `images.checked_jpeg` makes: a JPEG as it came, anything else re-encoded, so that a PNG and a
    lossless WebP of the same pixels are the same picture, and two JPEGs with other metadata are not. Pictures that only
    look alike are not looked for.

    Args:
        items: columns item_id and category, in the order of the packed pictures.
        folder: where `packing.write_images` packed them.

    Returns:
        Columns item_id, first_item_id, category, first_category; one row a later item.
    """
    digests = [hashlib.blake2b(jpeg, digest_size=16).hexdigest() for jpeg in packed_jpegs(folder)]
    first = pl.col("item_id", "category").first().over(_DIGEST).name.prefix("first_")
    return (
        items.with_columns(pl.Series(_DIGEST, digests, pl.String))
        .select("item_id", "category", first)
        .filter(pl.col("item_id") != pl.col("first_item_id"))
        .select("item_id", "first_item_id", "category", "first_category")
    )
