"""Files in the layout of the paper's authors, by any protocol of pickle."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tiny_data import BLUE, RED, encoded, noisy_picture

NUM_USERS, NUM_ITEMS = 6, 12


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined,misc]
    """Writes bytes as Python 2 wrote its `str`."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_bytes(self, value: bytes) -> None:
        if len(value) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(value)]) + value)
        else:
            self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def jpeg(item: int) -> bytes:
    return encoded(noisy_picture((RED, BLUE)[item % 2], (20, 16), item))


def entries(key: Callable[[str], Any], *, categories: bool) -> list[Any]:
    """User u acted on the items u to u + 4; the last two are held out."""

    def actions(*items: int) -> list[Any]:
        return [{key("productid"): item} for item in items]

    items = {
        item: {
            key("imgs"): jpeg(item),
            **({key("c"): np.eye(6)[item % 6]} if categories else {}),
        }
        for item in range(NUM_ITEMS)
    }
    return [
        {user: actions(user, user + 1, user + 2) for user in range(NUM_USERS)},
        {user: actions(user + 3) for user in range(NUM_USERS)},
        {user: actions(user + 4) for user in range(NUM_USERS)},
        items,
        NUM_USERS,
        NUM_ITEMS,
    ]


def save(path: Path, values: Any, protocol: int | str) -> Path:
    """As numpy.save does, by any protocol; "python2" writes Python 2's opcodes and names."""
    array = np.empty(len(values), object)
    array[:] = values
    buffer = io.BytesIO()
    if protocol == "python2":
        Python2Pickler(buffer, 2).dump(array)
        data = buffer.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")
        assert b"encode" not in data
        assert b"numpy.core.multiarray" in data
    else:
        data = pickle.dumps(array, int(protocol))
    with path.open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(data)
    return path
