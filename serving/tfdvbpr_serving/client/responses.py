"""What the recommender's methods return: ids as str, numbers as NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr_serving.errors import IncompatibleModelError

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Row = dict[str, Any]  # one row of each output, by name

SAME_RELEASE = "Export the model with the same release as this client."


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of items for users, one row a user.

    Attributes:
        user_ids: of the request.
        item_ids: of the request, row by row; rows may differ in length.
        scores: float32 [B, N], x̂_ui; -inf for an unknown item, NaN past a shorter row's end.
        known_users: bool [B]; False: scored with the mean user embedding.
        known_items: bool [B, N]; False for an unknown item and past a shorter row's end.
    """

    user_ids: tuple[str, ...]
    item_ids: tuple[tuple[str, ...], ...]
    scores: Floats
    known_users: Flags
    known_items: Flags

    @classmethod
    def from_rows(cls, user_ids: tuple[str, ...], item_ids: tuple[tuple[str, ...], ...], rows: Sequence[Row]) -> Scores:
        """Rows of `score`. A batching server pads narrow requests, so a row may be wider than its item ids."""
        shape = (len(rows), max(map(len, item_ids)))
        scores, known = np.full(shape, np.nan, dtype=np.float32), np.zeros(shape, dtype=np.bool_)
        for position, (ids, row) in enumerate(zip(item_ids, rows, strict=True)):
            if min(len(row["scores"]), len(row["known_items"])) < len(ids):
                raise IncompatibleModelError(
                    f"`scores` must have {len(ids)} columns. Received {len(row['scores'])}. {SAME_RELEASE}"
                )
            scores[position, : len(ids)] = row["scores"][: len(ids)]
            known[position, : len(ids)] = row["known_items"][: len(ids)]
        return cls(user_ids, item_ids, scores, np.array([row["known_users"] for row in rows]), known)


@dataclass(frozen=True, eq=False)
class ImageScores:
    """The score of an image for a user, row by row.

    Attributes:
        user_ids: of the request.
        scores: float32 [B], θ_uᵀΦ(X).
        known_users: bool [B]; False: scored with the mean user embedding.
    """

    user_ids: tuple[str, ...]
    scores: Floats
    known_users: Flags


@dataclass(frozen=True, eq=False)
class Recommendations:
    """The best items for one user.

    Attributes:
        user_id: of the request; "" for a user given by liked items.
        category: of the request; "" is every category.
        item_ids: best first, k or as many as there are candidates.
        scores: float32, of those items.
        known_user: False: ranked with the mean user embedding. From liked items: whether one of them is known.
        known_category: False: no such category, and no items.
    """

    user_id: str
    category: str
    item_ids: tuple[str, ...]
    scores: Floats
    known_user: bool
    known_category: bool

    @classmethod
    def from_row(cls, user_id: str, category: str, row: Row) -> Recommendations:
        """A row of `recommend` or `recommend_for_items`."""
        count = int(row["counts"])
        known = row["known_users"] if "known_users" in row else row["folded_in"]
        ids, scores = texts(row["item_ids"][:count]), row["scores"][:count]
        return cls(user_id, category, ids, scores, bool(known), bool(row["known_categories"]))


@dataclass(frozen=True, eq=False)
class SimilarItems:
    """The items most similar to an item or an image.

    Attributes:
        item_id: of the request; "" for an image.
        category: of the request; "" is every category.
        item_ids: most similar first.
        similarities: float32, of those items; cosines from -1 to 1.
        known_item: False: the item is not in the catalogue, and there are no similar ones. True for an image.
        known_category: False: no such category, and no items.
    """

    item_id: str
    category: str
    item_ids: tuple[str, ...]
    similarities: Floats
    known_item: bool
    known_category: bool

    @classmethod
    def from_row(cls, item_id: str, category: str, row: Row) -> SimilarItems:
        """A row of `similar_items` or `similar_images`."""
        count = int(row["counts"])
        ids, similarities = texts(row["item_ids"][:count]), row["similarities"][:count]
        known = bool(row.get("known_items", True))
        return cls(item_id, category, ids, similarities, known, bool(row["known_categories"]))


def texts(values: Iterable[bytes]) -> tuple[str, ...]:
    """Ids as str, without the "" that pads a row."""
    return tuple(value.decode() for value in values if value)
