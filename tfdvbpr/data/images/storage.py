"""Images of a prepared dataset as they are stored: packed JPEGs, decoded rows of a file, or rows in memory.

Files are read at a position and never mapped into memory. A map's pages count as the process's own for as long as the
system lets them, which for a large catalogue is all of it; what is read stays in the system's cache just the same.
"""

from __future__ import annotations

import logging
import os
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simplejpeg

from tfdvbpr.config.recommender import ImageCache
from tfdvbpr.data import ImageFit
from tfdvbpr.data.images.decoding import decoder
from tfdvbpr.errors import ConfigError, DatasetError
from tfdvbpr.files import reading, whole_file

IMAGES_NAME, CACHE_NAME = "images.arrow", "images_uint8.npy"
CACHE_FOLDER = "decoded"
DISK_OVER_MEMORY = 8
_PER_THREAD, _BLOCK = 16, 256  # images
_GIB = float(1 << 30)

_log = logging.getLogger(__name__)

Rows = npt.NDArray[np.integer[Any]]
Pixels = npt.NDArray[np.uint8]


class StoredImages(Protocol):
    """Random access to decoded images, from any thread."""

    def read(self, items: Rows) -> Pixels:
        """uint8 [N, H, W, 3] of the given item rows, int [N]."""


class _File:
    """A file read at positions; closed when it is no longer used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def read_into(self, target: Any, position: int) -> None:
        """Fills a writable buffer from the position on."""
        view = memoryview(target).cast("B")
        if os.preadv(self._descriptor, [view], position) != len(view):
            raise DatasetError(f"{self.path} must be as it was when it was opened. It is cut off. Prepare it again.")


class PackedJpegs:
    """The JPEG files of a prepared dataset, decoded whenever they are read."""

    def __init__(self, path: Path, *, image_size: tuple[int, int], fit: ImageFit) -> None:
        self._file = _File(path)
        self._starts, self._sizes = _jpeg_ranges(path)
        self._image_size, self._fit = image_size, fit

    def __len__(self) -> int:
        return len(self._starts)

    def jpeg(self, item: int) -> bytes:
        """The stored file of one item, at its own size."""
        data = bytearray(int(self._sizes[item]))
        self._file.read_into(data, int(self._starts[item]))
        return bytes(data)

    def read(self, items: Rows) -> Pixels:
        """uint8 [N, H, W, 3], decoded on all cores; the pixels are those of `decode_and_fit`."""
        images = np.empty((len(items), *self._image_size, 3), np.uint8)
        rows = np.asarray(items).tolist()

        def fill(start: int) -> None:
            part = slice(start, start + _PER_THREAD)
            for image, item in zip(images[part], rows[part], strict=True):
                jpeg = self.jpeg(item)
                if not decode_into(image, jpeg):
                    with reading(self._file.path, DatasetError, "Prepare it again."):
                        image[:] = decoder(self._image_size, self._fit)(jpeg).numpy()

        for _ in _decoding_threads().map(fill, range(0, len(rows), _PER_THREAD)):
            pass  # an error of a thread is raised here
        return images


class DecodedFile:
    """Decoded images in a .npy file, uint8 [N, H, W, 3]."""

    def __init__(self, path: Path) -> None:
        header = np.load(path, mmap_mode="r", allow_pickle=False)
        if header.dtype != np.uint8 or header.ndim != 4 or not header.flags.c_contiguous:
            raise ValueError(f"decoded images must be uint8 [N, H, W, 3], not {header.dtype} {header.shape}")
        self.shape: tuple[int, ...] = header.shape
        self._first: int = header.offset
        self._file = _File(path)

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, items: Rows) -> Pixels:
        """uint8 [N, H, W, 3]."""
        rows = np.asarray(items)
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        size = int(np.prod(self.shape[1:]))
        for image, row in zip(images, rows.tolist(), strict=True):
            if not 0 <= row < len(self):
                raise IndexError(f"`items` must be rows in [0, {len(self)}). Received {row}.")
            self._file.read_into(image, self._first + row * size)
        return images


class InMemory:
    """Decoded images in memory, uint8 [N, H, W, 3]."""

    def __init__(self, images: Pixels) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def read(self, items: Rows) -> Pixels:
        """uint8 [N, H, W, 3], a copy."""
        return self._images[np.asarray(items)]


class ItemImages:
    """Random access to the images of a prepared dataset, by item row, from any thread.

    Where the dataset keeps a decoded file its rows are read and nothing is decoded.

    Attributes:
        image_size: (height, width) of what `read` returns, in pixels.
        packed: the JPEG files.
        decoded: the decoded file, if the dataset keeps one.
    """

    def __init__(self, folder: Path, *, image_size: tuple[int, int], fit: ImageFit) -> None:
        self.image_size = image_size
        self.packed = PackedJpegs(folder / IMAGES_NAME, image_size=image_size, fit=fit)
        file = folder / CACHE_NAME
        self.decoded = DecodedFile(file) if file.is_file() else None

    def __len__(self) -> int:
        return len(self.packed)

    def jpeg(self, item: int) -> bytes:
        """The stored JPEG file of one item, at its own size."""
        return self.packed.jpeg(item)

    def read(self, items: Rows) -> Pixels:
        """uint8 [N, H, W, 3]: images of the given item rows, at the dataset's size."""
        return (self.decoded or self.packed).read(items)


@cache
def _decoding_threads() -> ThreadPoolExecutor:
    """One pool for the process: more threads than cores would only take turns."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="decode")


def decode_into(image: Pixels, jpeg: bytes) -> bool:
    """Decodes a JPEG of the image's size into it; False where it has another size or another decoder is needed.

    The options make libjpeg-turbo compute the same bits as `tf.io.decode_image`.
    """
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
        if (height, width) != image.shape[:2]:
            return False
        simplejpeg.decode_jpeg(jpeg, fastdct=True, fastupsample=False, buffer=image)
    except ValueError:  # this library is strict about some kinds; TensorFlow says what is wrong, if anything is
        return False
    return True


def _jpeg_ranges(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Where in the file each JPEG begins, and how many bytes it has."""
    starts, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    with pa.memory_map(str(path)) as file:
        base = file.read_buffer(1).address
        file.seek(0)
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            batch.validate(full=True)  # offsets within the file
            column = batch.column("jpeg")
            _, offsets, data = column.buffers()
            edges = np.frombuffer(offsets, np.int64, len(column) + 1, 8 * column.offset)
            starts.append(edges[:-1] + (data.address - base if data is not None else 0))
            sizes.append(np.diff(edges).astype(np.int32))
    return np.concatenate(starts), np.concatenate(sizes)


def training_images(
    images: ItemImages, folder: Path, *, fingerprint: str, cache: ImageCache = "auto", cache_gib: float = 1.0
) -> StoredImages:
    """The images of a dataset, cached for many passes over them.

    Args:
        cache: "memory" decodes everything into memory; "disk" reads rows of a decoded file; "none" decodes each image
            each time; "auto" is memory if it fits in `cache_gib`, else the file if there is one or if eight times
            `cache_gib` and half of the free disk have room for it, else none.
        cache_gib: GiB.

    Raises:
        ConfigError: if `cache` is "disk" and the file cannot be written.
    """
    size = len(images) * images.image_size[0] * images.image_size[1] * 3
    if cache == "memory" or (cache == "auto" and size <= cache_gib * _GIB):
        decoded = np.empty((len(images), *images.image_size, 3), np.uint8)
        for rows in _blocks(images):
            decoded[rows[0] : rows[-1] + 1] = images.read(rows)
        return InMemory(decoded)
    if cache == "none":
        return images.packed
    if images.decoded is not None:
        return images.decoded
    path = folder / CACHE_FOLDER / f"{images.image_size[0]}x{images.image_size[1]}-{fingerprint}.npy"
    if path.is_file():
        return DecodedFile(path)
    has_room = size <= DISK_OVER_MEMORY * cache_gib * _GIB and 2 * size <= shutil.disk_usage(folder).free
    if cache == "auto" and not has_room:
        _log.info("Images are decoded each time: %.1f GiB decoded exceed the cache.", size / _GIB)
        return images.packed
    try:
        _log.info("Decoding %d images once, %.1f GiB, into %s.", len(images), size / _GIB, path)
        with whole_file(path) as scratch, scratch.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(images), *images.image_size, 3)}
            np.lib.format.write_array_header_1_0(file, header)
            for rows in _blocks(images):
                file.write(images.read(rows).tobytes())
        return DecodedFile(path)
    except OSError as error:
        if cache == "auto":
            _log.info("Images are decoded each time: %s cannot be written (%s).", path, error.strerror or error)
            return images.packed
        raise ConfigError(
            f"`image_cache` disk must be able to write {path}. It cannot: {error.strerror or error}. "
            "Set image_cache=none."
        ) from None


def _blocks(images: ItemImages) -> list[Rows]:
    return [np.arange(start, min(start + _BLOCK, len(images))) for start in range(0, len(images), _BLOCK)]
