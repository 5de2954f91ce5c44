"""Where the pictures of a training are kept once they are decoded, at the size they are trained at."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from tfdvbpr.data.catalogue import ItemImages
from tfdvbpr.data.images.storage import DecodedFile, InMemory, Pictures
from tfdvbpr.errors import ConfigError
from tfdvbpr.files import whole_file

ImageCache = Literal["auto", "memory", "disk", "none"]
Told = Callable[[str], None]

FOLDER = "decoded"
DISK_OVER_MEMORY = 8
_BLOCK = 256
_GIB = float(1 << 30)


def training_pictures(
    images: ItemImages,
    folder: Path,
    *,
    fingerprint: str,
    cache: ImageCache = "auto",
    cache_gib: float = 1.0,
    told: Told = lambda line: None,
) -> Pictures:
    """The pictures of a dataset as a training reads them.

    Args:
        images: the dataset's.
        folder: the dataset's, where a cache on disk is written if it has none yet.
        fingerprint: the dataset's, in the name of that file.
        cache: "memory" decodes everything into memory; "disk" reads rows of a decoded file; "none" decodes each picture
            each time; "auto" is memory if it fits in `cache_gib`, else the file if there is one or eight times
            `cache_gib` and what is free on the disk have room for it, else none.
        cache_gib: GiB.
        told: takes lines for people.

    Raises:
        ConfigError: if "disk" is asked for and the file cannot be written.
    """
    size = len(images) * images.image_size[0] * images.image_size[1] * 3
    if cache == "memory" or (cache == "auto" and size <= cache_gib * _GIB):
        return InMemory(_everything(images))
    if cache == "none":
        return images.packed
    if images.decoded is not None:
        return images.decoded
    path = folder / FOLDER / f"{images.image_size[0]}x{images.image_size[1]}-{fingerprint}.npy"
    if path.is_file():
        return DecodedFile(path)
    if cache == "auto" and not _has_room(folder, size, cache_gib):
        told(f"Pictures are decoded each time: {size / _GIB:.1f} GiB decoded is more than the cache may have.")
        return images.packed
    try:
        told(f"Decoding {len(images)} pictures once, {size / _GIB:.1f} GiB, into {path}.")
        return _written(images, path)
    except OSError as error:
        if cache == "auto":
            told(f"Pictures are decoded each time: {path} cannot be written ({error.strerror or error}).")
            return images.packed
        raise ConfigError(
            f"`image_cache` disk must be able to write {path}. It cannot: {error.strerror or error}. "
            "Set image_cache=none."
        ) from None


def _has_room(folder: Path, size: int, cache_gib: float) -> bool:
    return size <= DISK_OVER_MEMORY * cache_gib * _GIB and 2 * size <= shutil.disk_usage(folder).free


def _everything(images: ItemImages) -> np.typing.NDArray[np.uint8]:
    pictures = np.empty((len(images), *images.image_size, 3), np.uint8)
    for start in range(0, len(images), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(images)))
        pictures[rows[0] : rows[-1] + 1] = images.read(rows)
    return pictures


def _written(images: ItemImages, path: Path) -> DecodedFile:
    with whole_file(path) as scratch, scratch.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(images), *images.image_size, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(images), _BLOCK):
            file.write(images.read(np.arange(start, min(start + _BLOCK, len(images)))).tobytes())
    return DecodedFile(path)
