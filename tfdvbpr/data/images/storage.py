"""Pictures of a prepared dataset where they lie: packed JPEGs, decoded rows of a file, or rows in memory.

Files are read at a position and never mapped into memory. A map's pages count as the process's own for as long as the
system lets them, which for a large catalogue is all of it; what is read stays in the system's cache just the same.
"""

from __future__ import annotations

import os
import shutil
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simplejpeg

from tfdvbpr.data import ImageFit
from tfdvbpr.data.images.decoding import decode_and_fit
from tfdvbpr.errors import ConfigError, DatasetError
from tfdvbpr.files import whole_file

IMAGES_NAME = "images.arrow"
CACHE_NAME = "images_uint8.npy"
_PART = 16  # pictures a thread takes at a time
_COMPILING = threading.Lock()

Rows = npt.NDArray[np.integer[Any]]
Pixels = npt.NDArray[np.uint8]


class Pictures(Protocol):
    """Random access to decoded pictures, from any thread."""

    def read(self, items: Rows) -> Pixels:
        """uint8 [N, H, W, 3] of the given item rows, int [N]."""
        ...


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

    def read(self, size: int, position: int) -> bytes:
        """So many bytes from the position on."""
        data = os.pread(self._descriptor, size, position)
        if len(data) != size:
            raise DatasetError(f"{self.path} must be as it was when it was opened. It is cut off. Prepare it again.")
        return data


class PackedJpegs:
    """The JPEG files of a packed folder, decoded whenever they are read.

    Args:
        path: the Arrow file that `packing.write_images` wrote.
        image_size: (height, width) in pixels they are fitted to.
        fit: how; see `images.decode_and_fit`.
    """

    def __init__(self, path: Path, *, image_size: tuple[int, int], fit: ImageFit) -> None:
        self._file = _File(path)
        self._starts, self._sizes = _places(path)
        self._image_size, self._fit = image_size, fit

    def __len__(self) -> int:
        return len(self._starts)

    def jpeg(self, item: int) -> bytes:
        """The stored file of one item, at its own size."""
        return self._file.read(int(self._sizes[item]), int(self._starts[item]))

    def read(self, items: Rows) -> Pixels:
        """uint8 [N, H, W, 3], decoded on all cores; the pixels are those of `decode_and_fit`."""
        pictures = np.empty((len(items), *self._image_size, 3), np.uint8)
        rows = np.asarray(items).tolist()

        def fill(start: int) -> None:
            part = slice(start, start + _PART)
            self._decode_into(pictures[part], [self.jpeg(item) for item in rows[part]])

        for _ in _decoding_threads().map(fill, range(0, len(rows), _PART)):
            pass  # an error of a part is raised here
        return pictures

    def _decode_into(self, pictures: Pixels, jpegs: list[bytes]) -> None:
        """On one core: what has the wanted size goes straight where it is to be, the rest through the graph."""
        others = [row for row, jpeg in enumerate(jpegs) if not decoded_at_once(jpeg, pictures[row])]
        if others:
            decode = batch_decoder(self._image_size, self._fit)
            pictures[others] = decode([jpegs[row] for row in others]).numpy()


class DecodedFile:
    """Decoded pictures in a .npy file, uint8 [N, H, W, 3]."""

    def __init__(self, path: Path) -> None:
        header = np.load(path, mmap_mode="r", allow_pickle=False)
        self.shape: tuple[int, ...] = header.shape
        self._first: int = header.offset
        self._file = _File(path)

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, items: Rows) -> Pixels:
        """uint8 [N, H, W, 3]."""
        rows = np.asarray(items)
        pictures = np.empty((len(rows), *self.shape[1:]), np.uint8)
        size = int(np.prod(self.shape[1:]))
        for picture, row in zip(pictures, rows.tolist(), strict=True):
            if not 0 <= row < len(self):
                raise IndexError(f"`items` must be rows in [0, {len(self)}). Received {row}.")
            self._file.read_into(picture, self._first + row * size)
        return pictures


class InMemory:
    """Decoded pictures in memory, uint8 [N, H, W, 3]."""

    def __init__(self, pictures: Pixels) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def read(self, items: Rows) -> Pixels:
        """uint8 [N, H, W, 3], a copy."""
        return self._pictures[np.asarray(items)]


class ItemImages:
    """Random access to the pictures of a prepared dataset, by item row, from any thread.

    Where the dataset keeps a decoded file its rows are read and nothing is decoded.

    Attributes:
        image_size: (height, width) of what `read` returns, in pixels.
        packed: the JPEG files.
        decoded: the decoded file, if the dataset keeps one.
    """

    def __init__(self, folder: Path, *, image_size: tuple[int, int], fit: ImageFit) -> None:
        self.image_size = image_size
        self.packed = PackedJpegs(folder / IMAGES_NAME, image_size=image_size, fit=fit)
        cache = folder / CACHE_NAME
        self.decoded = DecodedFile(cache) if cache.is_file() else None

    def __len__(self) -> int:
        return len(self.packed)

    def jpeg(self, item: int) -> bytes:
        """The stored JPEG file of one item, at its own size."""
        return self.packed.jpeg(item)

    def read(self, items: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
        """uint8 [N, H, W, 3]: pictures of the given item rows, at the dataset's size."""
        return (self.decoded or self.packed).read(items)


def batch_decoder(image_size: tuple[int, int], fit: ImageFit) -> Any:
    """A function of N picture files to uint8 [N, H, W, 3]; compiled once, callable from any thread.

    It works through its files on one core, for `map_fn` runs them one after another whatever `parallel_iterations`
    says; but it leaves Python's lock, so that several threads may call it.
    """
    with _COMPILING:  # `cache` alone would let each of the first threads trace its own
        return _batch_decoder(image_size, fit)


@cache
def _batch_decoder(image_size: tuple[int, int], fit: ImageFit) -> Any:
    import tensorflow as tf

    one = partial(decode_and_fit, image_size=image_size, fit=fit)
    decoded = tf.TensorSpec([*image_size, 3], tf.uint8)

    def decode(jpegs: Any) -> Any:
        return tf.map_fn(one, jpegs, fn_output_signature=decoded)

    function = tf.function(decode, input_signature=[tf.TensorSpec([None], tf.string)])
    traced = function.get_concrete_function()
    return lambda jpegs: traced(tf.constant(jpegs))


@cache
def _decoding_threads() -> ThreadPoolExecutor:
    """One pool for the process: more threads than cores would only take turns."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="decode")


def decoded_at_once(jpeg: bytes, picture: Pixels) -> bool:
    """Decodes a JPEG that has the picture's size into it; False where it has another size or cannot be decoded so.

    The options make libjpeg-turbo compute what TensorFlow has it compute, to the bit.
    """
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
        if (height, width) != picture.shape[:2]:
            return False
        simplejpeg.decode_jpeg(jpeg, fastdct=True, fastupsample=False, buffer=picture)
    except ValueError:  # a kind this library is strict about; the graph says what is wrong, if anything is
        return False
    return True


def _places(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Where in the file each JPEG begins, and how many bytes it has."""
    starts, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    with pa.memory_map(str(path)) as file:
        base = file.read_buffer(1).address
        file.seek(0)
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            column = reader.get_batch(number).column("jpeg")
            _, offsets, data = column.buffers()
            edges = np.frombuffer(offsets, np.int64, len(column) + 1, 8 * column.offset)
            starts.append(edges[:-1] + (data.address - base if data is not None else 0))
            sizes.append(np.diff(edges).astype(np.int32))
    return np.concatenate(starts), np.concatenate(sizes)


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
