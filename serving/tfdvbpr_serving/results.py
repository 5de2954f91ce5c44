"""What the client returns: ids as str, numbers as NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of named items, a row for each user.

    Attributes:
        user_ids: as asked.
        item_ids: as asked, row by row; rows may differ in length.
        scores: float32 [B, N], x̂_ui; NaN where the item is unknown and past a shorter row's end.
        known_users: bool [B]; False: scored with the mean taste.
        known_items: bool [B, N]; False where the item is unknown and past a shorter row's end.
    """

    user_ids: tuple[str, ...]
    item_ids: tuple[tuple[str, ...], ...]
    scores: Floats
    known_users: Flags
    known_items: Flags


@dataclass(frozen=True, eq=False)
class Recommendation:
    """The best items for one user.

    Attributes:
        user_id: as asked.
        category: as asked; "" is every category.
        item_ids: best first, k or as many as there are candidates.
        scores: float32 of those items.
        known_user: False: ranked by the mean taste.
        known_category: False: no such category, and no items.
    """

    user_id: str
    category: str
    item_ids: tuple[str, ...]
    scores: Floats
    known_user: bool
    known_category: bool


@dataclass(frozen=True, eq=False)
class Design:
    """New pictures for one user and category, best objective first.

    Attributes:
        user_id: as asked.
        category: as asked.
        seed: gives the same designs again.
        images: uint8 [starts, height, width, 3], RGB.
        preferences: float32 [starts], θᵀΦ(G(z, c)).
        realism_logits: float32 [starts], D(G(z, c), c).
        initial_preferences: float32 [starts], the preference where the ascent began.
        known_user: False: designed for with the mean taste.
        known_category: False: no such category, and the pictures are blank.
    """

    user_id: str
    category: str
    seed: int
    images: Pixels
    preferences: Floats
    realism_logits: Floats
    initial_preferences: Floats
    known_user: bool
    known_category: bool


@dataclass(frozen=True, eq=False)
class GeneratedImage:
    """A random picture of a category.

    Attributes:
        category: as asked.
        seed: gives the same picture again.
        image: uint8 [height, width, 3], RGB.
        realism_logit: D(G(z, c), c).
        known_category: False: no such category, and the picture is blank.
    """

    category: str
    seed: int
    image: Pixels
    realism_logit: float
    known_category: bool


@dataclass(frozen=True)
class ModelVersion:
    """One version of a served model.

    Attributes:
        version: its number.
        state: "START", "LOADING", "AVAILABLE", "UNLOADING", "END" or "UNKNOWN".
        error: what went wrong with it; "" where nothing did.
    """

    version: int
    state: str
    error: str


@dataclass(frozen=True)
class ServedTensor:
    """Dtype by its NumPy-style name, and shape; None where the request decides, and for the whole shape if unknown."""

    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class ServedSignature:
    """The inputs and outputs of one served function, by name."""

    inputs: Mapping[str, ServedTensor]
    outputs: Mapping[str, ServedTensor]


@dataclass(frozen=True)
class ModelMetadata:
    """The version a server answers with, and its signatures by name."""

    name: str
    version: int
    signatures: Mapping[str, ServedSignature]
