"""From the arrays of one or several answers to the rows the client returns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr_serving.connection import Arrays
from tfdvbpr_serving.errors import IncompatibleModelError
from tfdvbpr_serving.results import Design, GeneratedImage, Recommendation


def strings(values: Sequence[str] | Sequence[bytes]) -> npt.NDArray[np.object_]:
    """An object array [B]; NumPy's own fixed-width strings would cut trailing zero bytes off images."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def joined(answers: Iterable[Arrays], *, width: int) -> Arrays:
    """The answers of `score` below each other, cut to the columns that were asked for.

    A batching server pads narrow requests to the widest one of a batch, so an answer may be wider than its question.

    Raises:
        IncompatibleModelError: if an answer has fewer columns.
    """
    parts = list(answers)
    narrow = [a[name].shape[1] for a in parts for name in ("scores", "known_items") if a[name].shape[1] < width]
    if narrow:
        raise IncompatibleModelError(
            f"`scores` must have {width} columns. Received {narrow[0]}. Export the model again."
        )
    names = parts[0].keys()
    return {
        name: np.concatenate([a[name][:, :width] if a[name].ndim == 2 else a[name] for a in parts]) for name in names
    }


def rows(answers: Iterable[Arrays]) -> list[dict[str, Any]]:
    """Every row of every answer, by output name."""
    return [dict(zip(answer, row, strict=True)) for answer in answers for row in zip(*answer.values(), strict=True)]


def unknown(ids: Sequence[str], known: Iterable[object]) -> list[str]:
    """The ids whose flag is False."""
    return [value for value, flag in zip(ids, known, strict=True) if not flag]


def chunks(inputs: Arrays, *, max_rows: int) -> Iterator[Arrays]:
    """The inputs cut along their shared leading dimension."""
    num_rows = len(next(iter(inputs.values())))
    for start in range(0, num_rows, max_rows):
        yield {name: array[start : start + max_rows] for name, array in inputs.items()}


def recommendation(user_id: str, category: str, row: dict[str, Any], *, k: int) -> Recommendation:
    """One row of `recommend` without the "" that fill it up."""
    item_ids = [value.decode() for value in row["item_ids"][:k] if value]
    return Recommendation(
        user_id,
        category,
        tuple(item_ids),
        row["scores"][: len(item_ids)],
        bool(row["known_users"]),
        bool(row["known_categories"]),
    )


def design(user_id: str, category: str, seed: int, row: dict[str, Any]) -> Design:
    """One row of `design`."""
    return Design(
        user_id,
        category,
        seed,
        row["images"],
        row["preferences"],
        row["realism_logits"],
        row["initial_preferences"],
        bool(row["known_users"]),
        bool(row["known_categories"]),
    )


def generated(category: str, seed: int, row: dict[str, Any]) -> GeneratedImage:
    """One row of `generate`."""
    return GeneratedImage(category, seed, row["images"], float(row["realism_logits"]), bool(row["known_categories"]))
