"""From the arrays of one or several answers to what the client returns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr_serving.client.results import Design, GeneratedImage, Recommendation, SimilarItems, TailoredImage
from tfdvbpr_serving.errors import IncompatibleModelError, UnknownIdError

Arrays = dict[str, npt.NDArray[Any]]
Row = dict[str, Any]


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


def rows(answers: Iterable[Arrays]) -> list[Row]:
    """Every row of every answer, by output name."""
    return [dict(zip(answer, row, strict=True)) for answer in answers for row in zip(*answer.values(), strict=True)]


def unknown(ids: Sequence[str], known: Iterable[object]) -> list[str]:
    """The ids whose flag is False."""
    return [value for value, flag in zip(ids, known, strict=True) if not flag]


def unknown_in_rows(ids: Sequence[Sequence[str]], known: Iterable[Sequence[object]]) -> list[str]:
    """The same for a list of ids a row; flags past a row's end are those of padding."""
    return [
        value
        for row, flags in zip(ids, known, strict=True)
        for value, flag in zip(row, flags, strict=False)
        if not flag
    ]


def refuse_unknown(
    model: str, *, user_ids: Sequence[str] = (), item_ids: Sequence[str] = (), categories: Sequence[str] = ()
) -> None:
    """Raises `UnknownIdError` if there are any."""
    if user_ids or item_ids or categories:
        raise UnknownIdError(model, user_ids=user_ids, item_ids=item_ids, categories=categories)


def chunks(inputs: Arrays, *, max_rows: int) -> Iterator[Arrays]:
    """The inputs cut along their shared leading dimension."""
    num_rows = len(next(iter(inputs.values())))
    for start in range(0, num_rows, max_rows):
        yield {name: array[start : start + max_rows] for name, array in inputs.items()}


def _texts(values: Iterable[bytes]) -> tuple[str, ...]:
    """Ids as str, without the "" that fill a row up."""
    return tuple(value.decode() for value in values if value)


def recommendation(user_id: str, category: str, row: Row) -> Recommendation:
    """One row of `recommend` or `recommend_for_items`."""
    count = int(row["counts"])
    return Recommendation(
        user_id,
        category,
        _texts(row["item_ids"][:count]),
        row["scores"][:count],
        bool(row["known_users"] if "known_users" in row else row["folded_in"]),
        bool(row["known_categories"]),
    )


def similar(item_id: str, category: str, row: Row) -> SimilarItems:
    """One row of `similar_items` or `similar_images`."""
    count = int(row["counts"])
    return SimilarItems(
        item_id,
        category,
        _texts(row["item_ids"][:count]),
        row["similarities"][:count],
        bool(row.get("known_items", True)),
        bool(row["known_categories"]),
    )


def design(user_id: str, category: str, seed: int, row: Row) -> Design:
    """One row of `design`."""
    count = int(row["counts"])
    return Design(
        user_id,
        category,
        seed,
        tuple(row["image_bytes"][:count].tolist()),
        row["preferences"][:count],
        row["realism_logits"][:count],
        row["initial_preferences"][:count],
        tuple(_texts(ids) for ids in row["nearest_item_ids"][:count].tolist()),
        int(row["steps"]),
        bool(row["known_users"]),
        bool(row["folded_in"]),
        bool(row["known_categories"]),
    )


def tailored(user_id: str, category: str, seed: int, row: Row) -> TailoredImage:
    """One row of `tailor`."""
    return TailoredImage(
        user_id,
        category,
        seed,
        row["image_bytes"],
        row["inverted_image_bytes"],
        float(row["preferences"]),
        float(row["initial_preferences"]),
        float(row["realism_logits"]),
        float(row["distances"]),
        _texts(row["nearest_item_ids"].tolist()),
        int(row["steps"]),
        bool(row["known_users"]),
        bool(row["folded_in"]),
        bool(row["known_categories"]),
    )


def generated(category: str, seed: int, row: Row) -> GeneratedImage:
    """One row of `generate`."""
    return GeneratedImage(
        category,
        seed,
        row["image_bytes"],
        float(row["realism_logits"]),
        _texts(row["nearest_item_ids"].tolist()),
        bool(row["known_categories"]),
    )
