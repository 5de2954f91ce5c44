"""What each method of the client asks of the designer, and how it reads the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tfdvbpr_serving.client import answers
from tfdvbpr_serving.client.answers import Arrays, Row, strings, unknown, unknown_in_rows
from tfdvbpr_serving.client.arguments import (
    id_list,
    image_files,
    per_row,
    person_rows,
    seed_rows,
    weight_rows,
    whole_numbers,
)
from tfdvbpr_serving.client.questions import Image, Question, Rows, filled, flags_of, padded_rows, strangers
from tfdvbpr_serving.client.results import Design, GeneratedImage, TailoredImage

T = TypeVar("T")


def generate(
    category: str | Sequence[str], *, seeds: int | Sequence[int], allow_unknown: bool
) -> Question[tuple[GeneratedImage, ...]]:
    """See `Client.generate`."""
    if isinstance(category, str):
        categories = per_row("category", category, num_rows=int(np.size(seeds)))
    else:
        categories = id_list("category", category)
    seed_array = seed_rows(seeds, num_rows=len(categories))

    def read(parts: list[Arrays], model: str) -> tuple[GeneratedImage, ...]:
        rows = answers.rows(parts)
        if not allow_unknown:
            answers.refuse_unknown(model, categories=strangers(categories, rows))
        return tuple(answers.generated(*one) for one in zip(categories, seed_array.tolist(), rows, strict=True))

    return Question("generate", {"categories": strings(categories), "seeds": seed_array}, read)


@dataclass(frozen=True)
class Climb:
    """Whose taste a picture is to meet, and how; None leaves it to the model.

    Attributes:
        user_ids: one a row; None to go by the liked items alone.
        liked_items: one list of item ids a person.
        num_steps: gradient steps.
        seeds: one a row; a single number counts up from itself.
        realism_weight: η, 0 or more.

    Raises:
        ValueError: if neither users nor liked items are given.
    """

    user_ids: Sequence[str] | None
    liked_items: Rows | None
    num_steps: int | None
    seeds: int | Sequence[int]
    realism_weight: float | Sequence[float] | None

    def __post_init__(self) -> None:
        if self.user_ids is None and self.liked_items is None:
            raise ValueError("There must be `user_ids` or `liked_items`. Received neither. Say whose taste to meet.")

    @property
    def num_rows(self) -> int:
        """How many people there are."""
        if self.user_ids is not None:
            return len(id_list("user_ids", self.user_ids))
        return len(person_rows("liked_items", self.liked_items or ()))


def design(
    category: str | Sequence[str], *, num_designs: int | None, climb: Climb, allow_unknown: bool
) -> Question[tuple[Design, ...]]:
    """See `Client.design`."""
    rows = climb.num_rows
    given = {
        "num_designs": None
        if num_designs is None
        else whole_numbers("num_designs", num_designs, num_rows=rows, least=1)
    }
    return _climbed("design", given, category, climb, rows, allow_unknown, answers.design)


def tailor(
    images: Sequence[Image],
    category: str | Sequence[str],
    *,
    strength: float | Sequence[float] | None,
    climb: Climb,
    allow_unknown: bool,
) -> Question[tuple[TailoredImage, ...]]:
    """See `Client.tailor`."""
    files = image_files(images)
    given = {
        "image_bytes": strings(files),
        "strengths": None if strength is None else weight_rows("strength", strength, num_rows=len(files)),
    }
    return _climbed("tailor", given, category, climb, len(files), allow_unknown, answers.tailored)


def _climbed(
    signature: str,
    given: dict[str, npt.NDArray[Any] | None],
    category: str | Sequence[str],
    climb: Climb,
    count: int,
    allow_unknown: bool,
    read_row: Callable[[str, str, int, Row], T],
) -> Question[tuple[T, ...]]:
    users = None if climb.user_ids is None else per_row("user_ids", id_list("user_ids", climb.user_ids), num_rows=count)
    liked = None if climb.liked_items is None else person_rows("liked_items", climb.liked_items, num_rows=count)
    categories = per_row("category", category, num_rows=count)
    steps, weight = climb.num_steps, climb.realism_weight
    inputs = filled(
        signature,
        count,
        **given,
        user_ids=None if users is None else strings(users),
        liked_item_ids=padded_rows(liked),
        categories=strings(categories),
        num_steps=None if steps is None else whole_numbers("num_steps", steps, num_rows=count, least=1),
        seeds=seed_rows(climb.seeds, num_rows=count),
        realism_weights=None if weight is None else weight_rows("realism_weight", weight, num_rows=count),
    )

    def read(parts: list[Arrays], model: str) -> tuple[T, ...]:
        rows = answers.rows(parts)
        if not allow_unknown:
            answers.refuse_unknown(
                model,
                user_ids=[] if users is None else unknown(users, flags_of(rows, "known_users")),
                item_ids=[] if liked is None else unknown_in_rows(liked, flags_of(rows, "known_liked_items")),
                categories=strangers(categories, rows),
            )
        names = users or ("",) * count
        return tuple(read_row(*one) for one in zip(names, categories, inputs["seeds"].tolist(), rows, strict=True))

    return Question(signature, inputs, read)
