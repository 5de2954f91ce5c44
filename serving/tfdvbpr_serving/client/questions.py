"""What each method of the client asks of the recommender, and how it reads the answer.

Shared by the blocking and the asyncio client; the designer's are in design_questions.py.

A question checks its arguments, so that nothing is sent that cannot be answered, and fills the inputs that were not
given with their neutral values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.client import answers
from tfdvbpr_serving.client.answers import Arrays, Row, strings, unknown, unknown_in_rows
from tfdvbpr_serving.client.arguments import (
    excluded_rows,
    id_list,
    image_files,
    item_rows,
    padded,
    per_row,
    person_rows,
    whole_numbers,
)
from tfdvbpr_serving.client.results import ImageScores, Recommendation, Scores, SimilarItems

T = TypeVar("T")
Image = bytes | str | os.PathLike[str]
Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Question(Generic[T]):
    """A signature's inputs, and how its answers are read.

    Attributes:
        signature: its name.
        inputs: arrays that share their leading dimension; may be sent in several requests.
        read: from the answers to those requests, and the served name of the model for error messages.
    """

    signature: str
    inputs: Arrays
    read: Callable[[list[Arrays], str], T]


def score(user_ids: Sequence[str], item_ids: Sequence[str] | Rows, *, allow_unknown: bool) -> Question[Scores]:
    """See `Client.score`."""
    users = id_list("user_ids", user_ids)
    rows = item_rows(item_ids, num_users=len(users))
    items, mask = padded(rows)

    def read(parts: list[Arrays], model: str) -> Scores:
        answer = answers.joined(parts, width=items.shape[1])
        known_items = answer["known_items"] & mask
        if not allow_unknown:
            answers.refuse_unknown(
                model,
                user_ids=unknown(users, answer["known_users"]),
                item_ids=items[mask & ~known_items].tolist(),
            )
        scores = np.where(mask, answer["scores"], np.float32(np.nan))
        return Scores(users, rows, scores, answer["known_users"], known_items)

    return Question("score", {"user_ids": strings(users), "item_ids": items}, read)


def score_images(user_ids: Sequence[str], images: Sequence[Image], *, allow_unknown: bool) -> Question[ImageScores]:
    """See `Client.score_images`."""
    files = image_files(images)
    users = per_row("user_ids", id_list("user_ids", user_ids), num_rows=len(files))

    def read(parts: list[Arrays], model: str) -> ImageScores:
        known = np.concatenate([part["known_users"] for part in parts])
        if not allow_unknown:
            answers.refuse_unknown(model, user_ids=unknown(users, known))
        return ImageScores(users, np.concatenate([part["scores"] for part in parts]), known)

    return Question("score_images", {"user_ids": strings(users), "image_bytes": strings(files)}, read)


def recommend(
    user_ids: Sequence[str],
    *,
    k: int | Sequence[int],
    category: str | Sequence[str] | None,
    exclude_items: Sequence[str] | Rows | None,
    exclude_seen: bool,
    allow_unknown: bool,
) -> Question[tuple[Recommendation, ...]]:
    """See `Client.recommend`."""
    users = id_list("user_ids", user_ids)
    count = len(users)
    categories = categories_of(category, num_rows=count)
    inputs = filled(
        "recommend",
        count,
        user_ids=strings(users),
        k=whole_numbers("k", k, num_rows=count, least=1),
        categories=strings(categories),
        exclude_item_ids=padded_rows(excluded_rows("exclude_items", exclude_items, num_rows=count)),
        exclude_seen=np.full(count, exclude_seen, dtype=np.bool_),
    )

    def read(parts: list[Arrays], model: str) -> tuple[Recommendation, ...]:
        rows = answers.rows(parts)
        if not allow_unknown:
            answers.refuse_unknown(
                model, user_ids=unknown(users, flags_of(rows, "known_users")), categories=strangers(categories, rows)
            )
        return tuple(answers.recommendation(*one) for one in zip(users, categories, rows, strict=True))

    return Question("recommend", inputs, read)


def recommend_for_items(
    liked_items: Rows,
    *,
    k: int | Sequence[int],
    category: str | Sequence[str] | None,
    exclude_items: Sequence[str] | Rows | None,
    exclude_liked: bool,
    allow_unknown: bool,
) -> Question[tuple[Recommendation, ...]]:
    """See `Client.recommend_for_items`."""
    liked = person_rows("liked_items", liked_items)
    count = len(liked)
    categories = categories_of(category, num_rows=count)
    inputs = filled(
        "recommend_for_items",
        count,
        liked_item_ids=padded_rows(liked),
        k=whole_numbers("k", k, num_rows=count, least=1),
        categories=strings(categories),
        exclude_item_ids=padded_rows(excluded_rows("exclude_items", exclude_items, num_rows=count)),
        exclude_liked=np.full(count, exclude_liked, dtype=np.bool_),
    )

    def read(parts: list[Arrays], model: str) -> tuple[Recommendation, ...]:
        rows = answers.rows(parts)
        if not allow_unknown:
            answers.refuse_unknown(
                model,
                item_ids=unknown_in_rows(liked, flags_of(rows, "known_liked_items")),
                categories=strangers(categories, rows),
            )
        return tuple(answers.recommendation("", *one) for one in zip(categories, rows, strict=True))

    return Question("recommend_for_items", inputs, read)


def similar_items(
    item_ids: Sequence[str], *, k: int | Sequence[int], category: str | Sequence[str] | None, allow_unknown: bool
) -> Question[tuple[SimilarItems, ...]]:
    """See `Client.similar_items`."""
    items = id_list("item_ids", item_ids)
    categories = categories_of(category, num_rows=len(items))
    inputs = {
        "query_item_ids": strings(items),
        "k": whole_numbers("k", k, num_rows=len(items), least=1),
        "categories": strings(categories),
    }

    def read(parts: list[Arrays], model: str) -> tuple[SimilarItems, ...]:
        rows = answers.rows(parts)
        if not allow_unknown:
            answers.refuse_unknown(
                model, item_ids=unknown(items, flags_of(rows, "known_items")), categories=strangers(categories, rows)
            )
        return tuple(answers.similar(*one) for one in zip(items, categories, rows, strict=True))

    return Question("similar_items", inputs, read)


def similar_images(
    images: Sequence[Image], *, k: int | Sequence[int], category: str | Sequence[str] | None, allow_unknown: bool
) -> Question[tuple[SimilarItems, ...]]:
    """See `Client.similar_images`."""
    files = image_files(images)
    categories = categories_of(category, num_rows=len(files))
    inputs = {
        "image_bytes": strings(files),
        "k": whole_numbers("k", k, num_rows=len(files), least=1),
        "categories": strings(categories),
    }

    def read(parts: list[Arrays], model: str) -> tuple[SimilarItems, ...]:
        rows = answers.rows(parts)
        if not allow_unknown:
            answers.refuse_unknown(model, categories=strangers(categories, rows))
        return tuple(answers.similar("", *one) for one in zip(categories, rows, strict=True))

    return Question("similar_images", inputs, read)


def embed_images(images: Sequence[Image]) -> Question[npt.NDArray[np.float32]]:
    """See `Client.embed_images`."""
    inputs: Arrays = {"image_bytes": strings(image_files(images))}
    return Question("embed_images", inputs, lambda parts, model: np.concatenate([part["embeddings"] for part in parts]))


def categories_of(category: str | Sequence[str] | None, *, num_rows: int) -> tuple[str, ...]:
    """One category a row; "" for all of them."""
    return ("",) * num_rows if category is None else per_row("category", category, num_rows=num_rows)


def padded_rows(rows: Rows | None) -> npt.NDArray[Any] | None:
    """Rows of ids as one array; None where there are none."""
    return None if rows is None else padded(rows)[0]


def flags_of(rows: list[Row], name: str) -> list[Any]:
    """One output of every row."""
    return [row[name] for row in rows]


def strangers(categories: Sequence[str], rows: list[Row]) -> list[str]:
    """The categories that the model does not know."""
    return unknown(categories, flags_of(rows, "known_categories"))


def filled(signature: str, num_rows: int, **given: npt.NDArray[Any] | None) -> Arrays:
    """The inputs, with neutral values for those that are None."""
    found: Arrays = {}
    for name, description in SIGNATURES[signature].inputs.items():
        array = given[name]
        if array is None:
            dtype = object if description.dtype == "string" else description.dtype
            array = np.array(SIGNATURES[signature].neutral(name, num_rows), dtype=dtype)
        found[name] = array
    return found
