"""NumPy's files from outside: no pickles, nothing compressed, and no array larger than its bytes in the file.

An array's header may declare terabytes, and a deflated `.npz` of kilobytes may hold them.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt


def read_npy(path: Path) -> npt.NDArray[Any]:
    """The array of a .npy file.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it is damaged, holds objects, or declares more or less than it holds.
    """
    with path.open("rb") as file:
        _check(file, path.stat().st_size)
        array: npt.NDArray[Any] = np.load(file, allow_pickle=False)
    return array


def read_npz(source: Path | BinaryIO) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a .npz file that `numpy.savez` wrote, by name.

    Raises:
        OSError: if it cannot be opened.
        ValueError: if it is damaged, compressed, holds objects, or declares more or less than it holds.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
            overlapping = sum(entry.file_size for entry in entries) > _size(source)
            if not stored or overlapping or len({entry.filename for entry in entries}) < len(entries):
                raise ValueError("a .npz file must be as numpy.savez writes it, without compression")
            found = {}
            for entry in entries:
                with archive.open(entry) as file:
                    _check(file, entry.file_size)
                    found[entry.filename.removesuffix(".npy")] = np.load(file, allow_pickle=False)
            return found
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(str(error)) from None


def _size(source: Path | BinaryIO) -> int:
    if isinstance(source, Path):
        return source.stat().st_size
    return source.seek(0, 2)


def _check(file: Any, num_bytes: int) -> None:
    """Holds a header against the bytes that follow it; leaves the file at its start."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"a .npy file must be of version 1 or 2, not {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != num_bytes - file.tell():
        raise ValueError(f"an array of {dtype} and shape {shape} is not what {num_bytes:,} bytes hold")
    file.seek(0)
