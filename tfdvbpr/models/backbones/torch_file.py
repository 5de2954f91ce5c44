"""Weights from a file of PyTorch's first format (before 1.6), without PyTorch."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tfdvbpr.errors import SourceError
from tfdvbpr.pickles import check_opcodes, load_restricted

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_TYPES = {"torch.FloatStorage": np.dtype("<f4"), "torch.LongStorage": np.dtype("<i8")}

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    length: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage whose numbers follow later in the file."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, numbers: Array) -> Array:
        last = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        whole = 0 not in self.shape and min(self.shape + self.strides, default=0) >= 0
        if not whole or self.offset < 0 or self.offset + last >= len(numbers):
            raise SourceError("Tensors of a weights file must lie within their storage. One does not. Fetch it again.")
        strides = [stride * numbers.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides).copy()


def _rebuild(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


_ALLOWED: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _rebuild,
    **_TYPES,
}


def read_torch_weights(path: Path) -> dict[str, Array]:
    """Every tensor of a state dict by name: float32 or int64 arrays.

    The file is four pickles (a magic number, the format's version, the machine's word sizes, the state dict), one of
    the keys of the storages, and their numbers in that order. Nothing of it can run code.

    Raises:
        SourceError: if it is of another format, asks for code, is cut off, or its tensors are larger than it is, for
            their strides repeat numbers.
    """
    with path.open("rb") as file:
        magic, version, system = (_load(file, {}) for _ in range(3))
        if magic != _MAGIC or version != _PROTOCOL or not system["little_endian"]:
            raise SourceError(f"Weights must be of PyTorch's first format, little-endian. {path} is not.")
        tensors = _load(file, _ALLOWED, persistent_load=_storage)
        storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        numbers = {key: _numbers(file, storages[key]) for key in _load(file, {})}
        size = path.stat().st_size
    if sum(math.prod(tensor.shape) * tensor.storage.dtype.itemsize for tensor in tensors.values()) > 2 * size:
        raise SourceError(
            f"The tensors of a weights file must not be larger than the file. Those of {path.name}, of {size:,} bytes, "
            "repeat its numbers. Do not trust the file."
        )
    return {name: tensor.of(numbers[tensor.storage.key]) for name, tensor in tensors.items()}


def _load(file: BinaryIO, allowed: Mapping[str, Any], **options: Any) -> Any:
    check_opcodes(file)
    return load_restricted(file, allowed, **options)


def _storage(pid: Any) -> _Storage:
    _, dtype, key, _, length, _ = pid
    return _Storage(key, dtype, length)


def _numbers(file: BinaryIO, storage: _Storage) -> Array:
    length = int.from_bytes(file.read(8), "little")
    data = file.read(length * storage.dtype.itemsize) if length == storage.length else b""
    if len(data) != length * storage.dtype.itemsize:
        raise SourceError("A weights file must be whole. This one is cut off or damaged. Fetch it again.")
    return np.frombuffer(data, storage.dtype)
