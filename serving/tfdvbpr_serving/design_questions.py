"""What each method of the client asks of the designer, and how it reads the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr_serving import answers
from tfdvbpr_serving.answers import Arrays, strings, unknown, unknown_in_rows
from tfdvbpr_serving.arguments import id_list, image_files, per_row, person_rows, seed_rows, weight_rows, whole_numbers
from tfdvbpr_serving.questions import Image, Question, Rows, filled, flags_of, padded_rows, strangers
from tfdvbpr_serving.results import Design, GeneratedImage


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
    """How a design climbs; None leaves it to the model.

    Attributes:
        num_designs: pictures a row.
        num_steps: gradient steps.
        seeds: one a row; a single number counts up from itself.
        realism_weight: η, 0 or more.
    """

    num_designs: int | None
    num_steps: int | None
    seeds: int | Sequence[int]
    realism_weight: float | Sequence[float] | None

    def inputs(self, num_rows: int) -> dict[str, npt.NDArray[Any] | None]:
        """The inputs it gives, None for those left to the model."""
        designs, steps, weight = self.num_designs, self.num_steps, self.realism_weight
        return {
            "num_designs": None
            if designs is None
            else whole_numbers("num_designs", designs, num_rows=num_rows, least=1),
            "num_steps": None if steps is None else whole_numbers("num_steps", steps, num_rows=num_rows, least=1),
            "seeds": seed_rows(self.seeds, num_rows=num_rows),
            "realism_weights": None if weight is None else weight_rows("realism_weight", weight, num_rows=num_rows),
        }


def design(
    user_ids: Sequence[str] | None,
    category: str | Sequence[str],
    *,
    liked_items: Rows | None,
    climb: Climb,
    allow_unknown: bool,
) -> Question[tuple[Design, ...]]:
    """See `Client.design`."""
    if user_ids is None and liked_items is None:
        raise ValueError("A design must have `user_ids` or `liked_items`. Received neither. Say whose taste to meet.")
    count = (
        len(person_rows("liked_items", liked_items or ())) if user_ids is None else len(id_list("user_ids", user_ids))
    )
    return _designs("design", {}, user_ids, category, liked_items, climb, count, allow_unknown)


def tailor(
    images: Sequence[Image],
    category: str | Sequence[str],
    *,
    user_ids: Sequence[str] | None,
    liked_items: Rows | None,
    climb: Climb,
    allow_unknown: bool,
) -> Question[tuple[Design, ...]]:
    """See `Client.tailor`."""
    if user_ids is None and liked_items is None:
        raise ValueError("`tailor` must have `user_ids` or `liked_items`. Received neither. Say whose taste to meet.")
    files = image_files(images)
    given: Arrays = {"image_bytes": strings(files)}
    return _designs("tailor", given, user_ids, category, liked_items, climb, len(files), allow_unknown)


def _designs(
    signature: str,
    given: Arrays,
    user_ids: Sequence[str] | None,
    category: str | Sequence[str],
    liked_items: Rows | None,
    climb: Climb,
    count: int,
    allow_unknown: bool,
) -> Question[tuple[Design, ...]]:
    users = None if user_ids is None else per_row("user_ids", id_list("user_ids", user_ids), num_rows=count)
    liked = None if liked_items is None else person_rows("liked_items", liked_items, num_rows=count)
    categories = per_row("category", category, num_rows=count)
    inputs = filled(
        signature,
        count,
        **given,
        user_ids=None if users is None else strings(users),
        liked_item_ids=padded_rows(liked),
        categories=strings(categories),
        **climb.inputs(count),
    )

    def read(parts: list[Arrays], model: str) -> tuple[Design, ...]:
        rows = answers.rows(parts)
        if not allow_unknown:
            answers.refuse_unknown(
                model,
                user_ids=[] if users is None else unknown(users, flags_of(rows, "known_users")),
                item_ids=[] if liked is None else unknown_in_rows(liked, flags_of(rows, "known_liked_items")),
                categories=strangers(categories, rows),
            )
        names = users or ("",) * count
        return tuple(
            answers.design(*one) for one in zip(names, categories, inputs["seeds"].tolist(), rows, strict=True)
        )

    return Question(signature, inputs, read)
