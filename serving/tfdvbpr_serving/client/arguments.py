"""Checks of the client's arguments, before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Image = bytes | str | os.PathLike[str]
Rows = Sequence[Sequence[str]]


def id_list(name: str, ids: Sequence[str]) -> tuple[str, ...]:
    """The ids as a tuple; ValueError if it is one bare string, empty, or holds anything but non-empty str."""
    if isinstance(ids, (str, bytes)):
        raise ValueError(f"`{name}` must be a list of ids. Received the one string {ids!r}. Write [{ids!r}].")
    found = tuple(ids)
    if not found:
        raise ValueError(f"`{name}` must hold at least one id. Received none. Skip the call.")
    for position, value in enumerate(found):
        if not isinstance(value, str) or not value:
            raise ValueError(
                f"`{name}` must hold non-empty str. Received {value!r} at position {position}. Convert ids with str()."
            )
    return found


def id_rows(
    name: str, rows: Sequence[Sequence[str]], *, num_rows: int | None = None, may_be_empty: bool = False
) -> tuple[tuple[str, ...], ...]:
    """One list of ids a row.

    ValueError if it is a flat list of ids, there are no rows or not `num_rows`, or a row is empty and may not be.
    """
    if isinstance(rows, (str, bytes)) or any(isinstance(row, (str, bytes)) for row in rows):
        raise ValueError(f"`{name}` must be a list of lists of ids. Received a flat one. Write [[...]].")
    found = tuple(
        () if may_be_empty and not len(row) else id_list(f"{name}[{position}]", row)
        for position, row in enumerate(rows)
    )
    if not found or (num_rows is not None and len(found) != num_rows):
        wanted = "at least one row" if num_rows is None else f"a row for each of the {num_rows}"
        raise ValueError(f"`{name}` must have {wanted}. Received {len(found)}. Give one list of ids a row.")
    return found


def shared_or_own_rows(
    name: str, ids: Sequence[str] | Sequence[Sequence[str]], *, num_rows: int, may_be_empty: bool = False
) -> tuple[tuple[str, ...], ...]:
    """One list of ids a row: a flat list is repeated for every row. ValueError as in `id_list` and `id_rows`."""
    if isinstance(ids, (str, bytes)) or not len(ids) or isinstance(ids[0], (str, bytes)):
        return (id_list(name, ids),) * num_rows  # type: ignore[arg-type]
    return id_rows(name, ids, num_rows=num_rows, may_be_empty=may_be_empty)


def whole_numbers(name: str, values: int | Sequence[int] | None, *, num_rows: int) -> npt.NDArray[np.int32] | None:
    """One whole number above 0 a row, else ValueError: a single one is repeated, None stays None."""
    if values is None:
        return None
    single = isinstance(values, (int, np.integer, float, str, bool))
    found = [values] * num_rows if single else list(values)  # type: ignore[arg-type]
    for value in found:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 1 <= value < 2**31:
            raise ValueError(f"`{name}` must be a whole number, 1 or more. Received {value!r}. Correct it.")
    if len(found) != num_rows:
        raise ValueError(
            f"`{name}` must be one number or {num_rows} of them. Received {len(found)}. Give as many as there are rows."
        )
    return np.array(found, dtype=np.int32)


def weight_rows(name: str, values: float | Sequence[float] | None, *, num_rows: int) -> npt.NDArray[np.float32] | None:
    """One finite number of 0 or more a row, else ValueError: a single one is repeated, None stays None."""
    if values is None:
        return None
    found = np.asarray(values, dtype=np.float32)
    if found.ndim == 0:
        found = np.full(num_rows, found)
    if found.shape != (num_rows,) or not np.isfinite(found).all() or found.min(initial=0) < 0:
        raise ValueError(
            f"`{name}` must be one number of 0 or more, or {num_rows} of them. Received {values!r}. Correct it."
        )
    return found


def padded(rows: Sequence[Sequence[str]]) -> npt.NDArray[np.object_]:
    """Rows of ids as one [B, N] array, "" past a shorter row's end."""
    array = np.full((len(rows), max(1, *map(len, rows))), "", dtype=object)
    for row, ids in enumerate(rows):
        array[row, : len(ids)] = ids
    return array


def per_row(name: str, values: str | Sequence[str], *, num_rows: int) -> tuple[str, ...]:
    """One non-empty string a row, else ValueError: a single one is repeated."""
    found = id_list(name, [values] * num_rows if isinstance(values, str) else values)
    if len(found) != num_rows:
        raise ValueError(
            f"`{name}` must be one string or {num_rows} of them. Received {len(found)}. Give as many as there are rows."
        )
    return found


def seed_rows(seeds: int | Sequence[int], *, num_rows: int) -> npt.NDArray[np.int64]:
    """One int64 a row, else ValueError: a single number counts up from itself, so that no two rows are the same."""
    if isinstance(seeds, bool) or (not isinstance(seeds, (int, np.integer)) and isinstance(seeds, (str, float))):
        raise ValueError(f"`seeds` must be an int or a list of them. Received {seeds!r}. Give e.g. seeds=0.")
    found = [int(seeds) + row for row in range(num_rows)] if isinstance(seeds, (int, np.integer)) else list(seeds)
    if len(found) != num_rows:
        raise ValueError(
            f"`seeds` must be one int or {num_rows} of them. Received {len(found)}. Give as many as there are rows."
        )
    limits = np.iinfo(np.int64)
    if any(not isinstance(s, (int, np.integer)) or not limits.min <= s <= limits.max for s in found):
        raise ValueError(f"`seeds` must be whole numbers of 64 bits. Received {found}. Give seeds below 2**63.")
    return np.array(found, dtype=np.int64)


def image_files(images: Sequence[Image]) -> list[bytes]:
    """The bytes of each image file, read from disk if a path is given (OSError if it cannot be).

    ValueError if there is none, one is empty, or one is neither bytes nor a path.
    """
    if isinstance(images, (bytes, str, os.PathLike)):
        raise ValueError("`images` must be a list of files. Received one. Write [image].")
    found = [_image_file(image, position) for position, image in enumerate(images)]
    if not found:
        raise ValueError("`images` must hold at least one file. Received none. Skip the call.")
    return found


def _image_file(image: Image, position: int) -> bytes:
    if isinstance(image, (str, os.PathLike)):
        image = Path(image).read_bytes()
    if not isinstance(image, bytes):
        raise ValueError(
            "`images` must hold bytes of JPEG or PNG files, or paths. "
            f"Received {type(image).__name__} at position {position}. Encode pixels as PNG first."
        )
    if not image:
        raise ValueError(f"`images` must hold whole files. Received an empty one at position {position}. Leave it out.")
    return image
