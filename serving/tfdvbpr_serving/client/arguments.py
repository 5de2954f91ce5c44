"""Checks of what a caller gives the client, before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Strings = npt.NDArray[np.object_]


def id_list(name: str, ids: Sequence[str]) -> tuple[str, ...]:
    """The ids as a tuple.

    Raises:
        ValueError: if it is one bare string, empty, or holds anything but non-empty str.
    """
    if isinstance(ids, (str, bytes)):
        raise ValueError(f"`{name}` must be a list of ids. Received the one string {ids!r}. Write [{ids!r}].")
    found = tuple(ids)
    if not found:
        raise ValueError(
            f"`{name}` must hold at least one id. Received none. Skip the call when there is nothing to ask."
        )
    for position, value in enumerate(found):
        if not isinstance(value, str) or not value:
            raise ValueError(
                f"`{name}` must hold non-empty str. Received {value!r} at position {position}. Convert ids with str()."
            )
    return found


def item_rows(item_ids: Sequence[str] | Sequence[Sequence[str]], *, num_users: int) -> tuple[tuple[str, ...], ...]:
    """One row of items a user: a flat list of ids is repeated for every user.

    Raises:
        ValueError: if there are no items, or as many rows as users are not given.
    """
    if not isinstance(item_ids, (str, bytes)) and len(item_ids) and not isinstance(item_ids[0], (str, bytes)):
        rows = tuple(id_list(f"item_ids[{row}]", ids) for row, ids in enumerate(item_ids))
        if len(rows) != num_users:
            raise ValueError(
                f"`item_ids` must have a row for each of the {num_users} users. Received {len(rows)} rows. "
                "Give one list a user, or one flat list for all."
            )
        return rows
    return (id_list("item_ids", item_ids),) * num_users  # type: ignore[arg-type]


def person_rows(
    name: str, rows: Sequence[Sequence[str]], *, num_rows: int | None = None
) -> tuple[tuple[str, ...], ...]:
    """One list of ids a person; a list may be empty if the number of rows is known otherwise.

    Raises:
        ValueError: if it is a flat list of ids, there are no rows, or not as many as there are to be.
    """
    if isinstance(rows, (str, bytes)) or any(isinstance(row, (str, bytes)) for row in rows):
        raise ValueError(f"`{name}` must be a list of ids for each person. Received a flat one. Write [[...]].")
    found = tuple(
        id_list(f"{name}[{position}]", row) if len(row) or num_rows is None else () for position, row in enumerate(rows)
    )
    if not found or (num_rows is not None and len(found) != num_rows):
        wanted = "at least one row" if num_rows is None else f"a row for each of {num_rows}"
        raise ValueError(f"`{name}` must have {wanted}. Received {len(found)}. Give one list of ids a person.")
    return found


def excluded_rows(
    name: str, ids: Sequence[str] | Sequence[Sequence[str]] | None, *, num_rows: int
) -> tuple[tuple[str, ...], ...] | None:
    """One row of ids to leave out: a flat list is repeated for every row; None where there are none at all.

    Raises:
        ValueError: if a list of lists has another length than there are rows.
    """
    if ids is None or len(ids) == 0:
        return None
    if not isinstance(ids, (str, bytes)) and not isinstance(ids[0], (str, bytes)):
        return person_rows(name, ids, num_rows=num_rows)
    return (id_list(name, ids),) * num_rows  # type: ignore[arg-type]


def whole_numbers(name: str, values: int | Sequence[int], *, num_rows: int, least: int) -> npt.NDArray[np.int32]:
    """One whole number a row: a single one is repeated.

    Raises:
        ValueError: if one is no int32 of at least `least`, or a list has another length than there are rows.
    """
    single = isinstance(values, (int, np.integer, float, str, bool))
    found = [values] * num_rows if single else list(values)  # type: ignore[arg-type]
    for value in found:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value < 2**31:
            raise ValueError(f"`{name}` must be a whole number, {least} or more. Received {value!r}. Correct it.")
    if len(found) != num_rows:
        raise ValueError(
            f"`{name}` must be one number or {num_rows} of them. Received {len(found)}. Give as many as there are rows."
        )
    return np.array(found, dtype=np.int32)


def weight_rows(name: str, values: float | Sequence[float], *, num_rows: int) -> npt.NDArray[np.float32]:
    """One finite number of 0 or more a row: a single one is repeated.

    Raises:
        ValueError: if one is not, or a list has another length than there are rows.
    """
    found = np.asarray(values, dtype=np.float32)
    if found.ndim == 0:
        found = np.full(num_rows, found)
    if found.shape != (num_rows,) or not np.isfinite(found).all() or found.min(initial=0) < 0:
        raise ValueError(
            f"`{name}` must be one number of 0 or more, or {num_rows} of them. Received {values!r}. Correct it."
        )
    return found


def padded(rows: Sequence[Sequence[str]]) -> tuple[Strings, npt.NDArray[np.bool_]]:
    """Rows of ids as one [B, N] array, "" past a shorter row's end, and a bool [B, N]: True for a real id."""
    array = np.full((len(rows), max(1, *map(len, rows))), "", dtype=object)
    mask = np.zeros(array.shape, dtype=np.bool_)
    for row, ids in enumerate(rows):
        array[row, : len(ids)] = ids
        mask[row, : len(ids)] = True
    return array, mask


def per_row(name: str, values: str | Sequence[str], *, num_rows: int) -> tuple[str, ...]:
    """One non-empty string a row: a single one is repeated.

    Raises:
        ValueError: if a list has another length than there are rows.
    """
    found = id_list(name, [values] * num_rows if isinstance(values, str) else values)
    if len(found) != num_rows:
        raise ValueError(
            f"`{name}` must be one string or {num_rows} of them. Received {len(found)}. Give as many as there are rows."
        )
    return found


def seed_rows(seeds: int | Sequence[int], *, num_rows: int) -> npt.NDArray[np.int64]:
    """One seed a row: a single number counts up from itself, so that no two rows are the same.

    Raises:
        ValueError: if a list has another length than there are rows, or a seed is not an int64.
    """
    if isinstance(seeds, bool) or (not isinstance(seeds, (int, np.integer)) and isinstance(seeds, (str, float))):
        raise ValueError(f"`seeds` must be an int or a list of them. Received {seeds!r}. Give e.g. seeds=0.")
    found = [int(seeds) + row for row in range(num_rows)] if isinstance(seeds, (int, np.integer)) else list(seeds)
    if len(found) != num_rows:
        raise ValueError(
            f"`seeds` must be one int or {num_rows} of them. Received {len(found)}. Give as many as there are rows."
        )
    limits = np.iinfo(np.int64)
    if any(not isinstance(s, (int, np.integer)) or not limits.min <= s <= limits.max for s in found):
        raise ValueError(f"`seeds` must be whole numbers of 64 bits. Received {found}. Draw them below 2**63.")
    return np.array(found, dtype=np.int64)


def image_files(images: Sequence[bytes | str | os.PathLike[str]]) -> list[bytes]:
    """The bytes of each picture file, read from disk where a path is given.

    Raises:
        ValueError: if there is none, one is empty, or one is neither bytes nor a path.
        OSError: if a path cannot be read.
    """
    if isinstance(images, (bytes, str, os.PathLike)):
        raise ValueError("`images` must be a list of files. Received one. Write [image].")
    found = [_image_file(image, position) for position, image in enumerate(images)]
    if not found:
        raise ValueError(
            "`images` must hold at least one file. Received none. Skip the call when there is nothing to ask."
        )
    return found


def _image_file(image: bytes | str | os.PathLike[str], position: int) -> bytes:
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
