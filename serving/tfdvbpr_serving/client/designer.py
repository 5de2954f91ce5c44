"""The methods of both clients that call the designer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfdvbpr_serving.client.arguments import (
    Image,
    Rows,
    id_list,
    id_rows,
    image_files,
    per_row,
    seed_rows,
    shared_or_own_rows,
    weight_rows,
    whole_numbers,
)
from tfdvbpr_serving.client.base import ClientBase, method
from tfdvbpr_serving.client.image_responses import Design, GeneratedImage, TailoredImage

Items = Sequence[str] | Rows
Weights = float | Sequence[float] | None


class DesignerMethods(ClientBase):
    """`design`, `tailor` and `generate`; see `Client`."""

    @method
    async def design(
        self,
        user_ids: Sequence[str] | None,
        category: str | Sequence[str],
        *,
        liked_items: Rows | None = None,
        more_like: Items | None = None,
        less_like: Items | None = None,
        num_designs: int | None = None,
        num_steps: int | None = None,
        seeds: int | Sequence[int] = 0,
        realism_weight: Weights = None,
        allow_unknown: bool = False,
    ) -> tuple[Design, ...]:
        """New images of a category that fit each user. Takes seconds a row.

        Args:
            user_ids: one a row; None for new users, given by the liked items alone.
            category: one name for all rows, or one a row.
            liked_items: one list of item ids a user, for a user profile from items.
            more_like: item ids that the images should be more like, as far as the preference allows: one list for all
                rows, or one a row.
            less_like: item ids that the images should be less like, likewise.
            num_designs: images a row; None for all of the model's starts.
            num_steps: gradient steps, cut at the model's limit; None for the model's default.
            seeds: one a row; a single number counts up from itself, row by row.
            realism_weight: η, 0 or more; None for the model's.
            allow_unknown: True designs with the mean user embedding for unknown users, and returns no image for an
                unknown category.
        """
        users, liked = _users_or_liked(user_ids, liked_items)
        count = len(users or liked or ())
        categories = per_row("category", category, num_rows=count)
        seed_array = seed_rows(seeds, num_rows=count)
        rows = await self._predict(
            "design",
            count,
            allow_unknown=allow_unknown,
            num_designs=whole_numbers("num_designs", num_designs, num_rows=count),
            user_ids=users,
            liked_item_ids=liked,
            more_like_item_ids=_items("more_like", more_like, num_rows=count),
            less_like_item_ids=_items("less_like", less_like, num_rows=count),
            categories=categories,
            num_steps=whole_numbers("num_steps", num_steps, num_rows=count),
            seeds=seed_array,
            realism_weights=weight_rows("realism_weight", realism_weight, num_rows=count),
        )
        return tuple(map(Design.from_row, users or [""] * count, categories, seed_array.tolist(), rows))

    @method
    async def tailor(
        self,
        images: Sequence[Image],
        category: str | Sequence[str],
        *,
        user_ids: Sequence[str] | None = None,
        liked_items: Rows | None = None,
        more_like: Items | None = None,
        less_like: Items | None = None,
        strength: Weights = None,
        keep: Sequence[str] = (),
        num_steps: int | None = None,
        seeds: int | Sequence[int] = 0,
        realism_weight: Weights = None,
        allow_unknown: bool = False,
    ) -> tuple[TailoredImage, ...]:
        """Images changed to fit a user better, starting from their reconstructions. Takes seconds a row.

        Args:
            images: one a row.
            category: one name for all rows, or one a row.
            user_ids: one a row; None for new users, given by the liked items alone.
            liked_items: one list of item ids a user.
            more_like: as in `design`.
            less_like: as in `design`.
            strength: weight of the preference against similarity to the image, 0 or more; None for the model's.
            keep: what must stay of the images: "colour", "cut", or both.
            num_steps: gradient steps; None for the model's default.
            seeds: one a row; a single number counts up from itself.
            realism_weight: η, 0 or more; None for the model's.
            allow_unknown: as in `design`.
        """
        files = image_files(images)
        count = len(files)
        users, liked = _users_or_liked(user_ids, liked_items, num_rows=count)
        categories = per_row("category", category, num_rows=count)
        seed_array = seed_rows(seeds, num_rows=count)
        rows = await self._predict(
            "tailor",
            count,
            allow_unknown=allow_unknown,
            image_bytes=files,
            user_ids=users,
            liked_item_ids=liked,
            more_like_item_ids=_items("more_like", more_like, num_rows=count),
            less_like_item_ids=_items("less_like", less_like, num_rows=count),
            categories=categories,
            strengths=weight_rows("strength", strength, num_rows=count),
            keep=shared_or_own_rows("keep", keep, num_rows=count) if keep else None,
            num_steps=whole_numbers("num_steps", num_steps, num_rows=count),
            seeds=seed_array,
            realism_weights=weight_rows("realism_weight", realism_weight, num_rows=count),
        )
        return tuple(map(TailoredImage.from_row, users or [""] * count, categories, seed_array.tolist(), rows))

    @method
    async def generate(
        self, category: str | Sequence[str], *, seeds: int | Sequence[int] = 0, allow_unknown: bool = False
    ) -> tuple[GeneratedImage, ...]:
        """Random images of a category.

        Args:
            category: one name for all seeds, or one a row.
            seeds: one a row; a single number counts up from itself, row by row.
            allow_unknown: True returns no image for unknown categories.
        """
        if isinstance(category, str):
            categories = per_row("category", category, num_rows=int(np.size(seeds)))
        else:
            categories = id_list("category", category)
        count = len(categories)
        seed_array = seed_rows(seeds, num_rows=count)
        rows = await self._predict(
            "generate", count, allow_unknown=allow_unknown, categories=categories, seeds=seed_array
        )
        return tuple(map(GeneratedImage.from_row, categories, seed_array.tolist(), rows))


def _users_or_liked(
    user_ids: Sequence[str] | None, liked_items: Rows | None, *, num_rows: int | None = None
) -> tuple[tuple[str, ...] | None, tuple[tuple[str, ...], ...] | None]:
    """Users and liked items, one a row; one of them may be None."""
    if user_ids is None and liked_items is None:
        raise ValueError("There must be `user_ids` or `liked_items`. Received neither. Give one of them.")
    users = None if user_ids is None else id_list("user_ids", user_ids)
    if users is not None:
        users = per_row("user_ids", users, num_rows=num_rows or len(users))
        num_rows = len(users)
    if liked_items is None:
        return users, None
    return users, id_rows("liked_items", liked_items, num_rows=num_rows, may_be_empty=num_rows is not None)


def _items(name: str, ids: Items | None, *, num_rows: int) -> tuple[tuple[str, ...], ...] | None:
    return None if ids is None else shared_or_own_rows(name, ids, num_rows=num_rows, may_be_empty=True)
