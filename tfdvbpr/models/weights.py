"""Weights files of Keras, HDF5: a full disk is an error when writing, a file from outside is bounded when reading."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import tensorflow as tf

_MOST_PARTS = 100_000
_SMALLEST_PART = 8  # bytes: the address in a link alone; a group that holds itself has parts without end


class _Memory(io.BytesIO):
    """A file in memory with the ending that Keras asks for."""

    def __str__(self) -> str:
        return "memory.weights.h5"


@contextmanager
def outside_graphs() -> Iterator[None]:
    """A block whose models are built and read at once, also where a tf.function is being traced.

    Within a graph, reading weights would only add assignments to it, and those run at each call of that graph alone.

    Example:
        >>> @tf.function
        ... def weight():
        ...     with outside_graphs():
        ...         layer = keras.layers.Dense(1)
        ...         layer.build((None, 1))
        ...         layer.kernel.assign([[2.0]])
        ...     return layer.kernel + 0.0
        >>> float(weight())
        2.0
    """
    with tf.init_scope():
        yield


def save_weights(model: Any, path: Path) -> None:
    """Writes a model's weights; `path` ends in .weights.h5.

    HDF5 ends the process with a segmentation fault where the disk is full. It writes into memory here, and the bytes
    are written then.

    Raises:
        OSError: from the system; nothing is left behind then.
    """
    memory = _Memory()
    model.save_weights(memory)
    try:
        path.write_bytes(memory.getbuffer())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def load_weights(model: Any, path: Path) -> None:
    """Reads a model's weights from a file of `save_weights`.

    Raises:
        OSError, ValueError: if it is damaged, of another model, compressed, or refers to other files.
    """
    _check(path)
    model.load_weights(path)


def _check(path: Path) -> None:
    """Holds what a file declares against its bytes: a filter can expand a few of them to terabytes."""
    size, declared, parts = path.stat().st_size, 0, 0
    with h5py.File(path, "r") as file:
        waiting: list[Any] = [file]
        while waiting:
            group = waiting.pop()
            for name in group:
                found = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
                parts += 1
                if isinstance(found, h5py.Group):
                    waiting.append(found)
                elif isinstance(found, h5py.Dataset) and _is_plain(found):
                    declared += found.nbytes
                else:
                    raise ValueError(f"{name} is no plain array")
                if declared > size or parts > min(_MOST_PARTS, size // _SMALLEST_PART):
                    raise ValueError("it declares more than it holds")


def _is_plain(found: Any) -> bool:
    return found.chunks is None and not found.is_virtual and not found.external and not found.dtype.hasobject
