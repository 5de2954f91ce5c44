"""What the client returns: ids as str, numbers as NumPy arrays, pictures as files that open as NumPy or PIL."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of named items, a row for each user.

    Attributes:
        user_ids: as asked.
        item_ids: as asked, row by row; rows may differ in length.
        scores: float32 [B, N], x̂_ui; -inf where the item is unknown, NaN past a shorter row's end.
        known_users: bool [B]; False: scored with the mean taste.
        known_items: bool [B, N]; False where the item is unknown and past a shorter row's end.
    """

    user_ids: tuple[str, ...]
    item_ids: tuple[tuple[str, ...], ...]
    scores: Floats
    known_users: Flags
    known_items: Flags


@dataclass(frozen=True, eq=False)
class ImageScores:
    """The score of a picture for a user, row by row.

    Attributes:
        user_ids: as asked.
        scores: float32 [B], θ_uᵀΦ(X).
        known_users: bool [B]; False: scored with the mean taste.
    """

    user_ids: tuple[str, ...]
    scores: Floats
    known_users: Flags


@dataclass(frozen=True, eq=False)
class Recommendation:
    """The best items for one user.

    Attributes:
        user_id: as asked; "" where only liked items were given.
        category: as asked; "" is every category.
        item_ids: best first, k or as many as there are candidates.
        scores: float32 of those items.
        known_user: False: ranked by the mean taste. From liked items: whether one of them is known.
        known_category: False: no such category, and no items.
    """

    user_id: str
    category: str
    item_ids: tuple[str, ...]
    scores: Floats
    known_user: bool
    known_category: bool


@dataclass(frozen=True, eq=False)
class SimilarItems:
    """The items most alike to an item or a picture.

    Attributes:
        item_id: as asked; "" for a picture.
        category: as asked; "" is every category.
        item_ids: most alike first.
        similarities: float32 of those items, cosines from -1 to 1.
        known_item: False: the item is not in the catalogue, and there are none alike. True for a picture.
        known_category: False: no such category, and no items.
    """

    item_id: str
    category: str
    item_ids: tuple[str, ...]
    similarities: Floats
    known_item: bool
    known_category: bool


@dataclass(frozen=True, eq=False)
class Design:
    """New pictures for one person and category, best objective first.

    Attributes:
        user_id: as asked; "" where only liked items were given.
        category: as asked.
        seed: gives the same designs again.
        files: a PNG file each.
        preferences: float32 [designs], θᵀΦ(G(z, c)).
        realism_logits: float32 [designs], D(G(z, c), c).
        initial_preferences: float32 [designs], the preference where the ascent began.
        nearest_item_ids: for each picture, the catalogue items that look most like it, nearest first.
        steps: gradient steps taken.
        known_user: False: the user is unknown (or none was given).
        folded_in: the taste came from liked items.
        known_category: False: no such category, and no pictures.
    """

    user_id: str
    category: str
    seed: int
    files: tuple[bytes, ...]
    preferences: Floats
    realism_logits: Floats
    initial_preferences: Floats
    nearest_item_ids: tuple[tuple[str, ...], ...]
    steps: int
    known_user: bool
    folded_in: bool
    known_category: bool

    @cached_property
    def images(self) -> Pixels:
        """uint8 [designs, height, width, 3], RGB."""
        return _stacked([_pixels(file) for file in self.files])

    @cached_property
    def pictures(self) -> tuple[Image.Image, ...]:
        """The same as PIL images."""
        return tuple(_opened(file) for file in self.files)


@dataclass(frozen=True, eq=False)
class TailoredImage:
    """A picture made to fit one person better.

    Attributes:
        user_id: as asked; "" where only liked items were given.
        category: as asked.
        seed: gives the same picture again.
        file: the tailored picture, a PNG file; empty where the category is unknown.
        inverted_file: what the generator makes of the picture that was sent: where the change began.
        preference: θᵀΦ of the tailored picture.
        initial_preference: θᵀΦ of the inverted one.
        realism_logit: D of the tailored picture.
        distance: how far it looks from the inverted one.
        nearest_item_ids: the catalogue items that look most like it, nearest first.
        steps: gradient steps taken.
        known_user: False: the user is unknown (or none was given).
        folded_in: the taste came from liked items.
        known_category: False: no such category, and no picture.
    """

    user_id: str
    category: str
    seed: int
    file: bytes
    inverted_file: bytes
    preference: float
    initial_preference: float
    realism_logit: float
    distance: float
    nearest_item_ids: tuple[str, ...]
    steps: int
    known_user: bool
    folded_in: bool
    known_category: bool

    @cached_property
    def image(self) -> Pixels:
        """The tailored picture, uint8 [height, width, 3]; [0, 0, 3] where there is none."""
        return _pixels_or_none(self.file)

    @cached_property
    def inverted_image(self) -> Pixels:
        """The inverted picture, uint8 [height, width, 3]; [0, 0, 3] where there is none."""
        return _pixels_or_none(self.inverted_file)

    @cached_property
    def picture(self) -> Image.Image:
        """The tailored picture as a PIL image.

        Raises:
            ValueError: if there is none.
        """
        return _picture(self.file, self.category)


@dataclass(frozen=True, eq=False)
class GeneratedImage:
    """A random picture of a category.

    Attributes:
        category: as asked.
        seed: gives the same picture again.
        file: a PNG file; empty where the category is unknown.
        realism_logit: D(G(z, c), c).
        nearest_item_ids: the catalogue items that look most like it, nearest first.
        known_category: False: no such category, and no picture.
    """

    category: str
    seed: int
    file: bytes
    realism_logit: float
    nearest_item_ids: tuple[str, ...]
    known_category: bool

    @cached_property
    def image(self) -> Pixels:
        """uint8 [height, width, 3], RGB; [0, 0, 3] where there is none."""
        return _pixels_or_none(self.file)

    @cached_property
    def picture(self) -> Image.Image:
        """The same as a PIL image.

        Raises:
            ValueError: if there is none.
        """
        return _picture(self.file, self.category)


def _opened(file: bytes) -> Image.Image:
    from PIL import Image  # here, so that the client itself starts without it

    return Image.open(io.BytesIO(file)).convert("RGB")


def _picture(file: bytes, category: str) -> Image.Image:
    if not file:
        raise ValueError(f"There must be a picture. Received none: {category!r} is no category of the model.")
    return _opened(file)


def _pixels_or_none(file: bytes) -> Pixels:
    return _pixels(file) if file else np.zeros((0, 0, 3), dtype=np.uint8)


def _pixels(file: bytes) -> Pixels:
    return np.asarray(_opened(file))


def _stacked(images: list[Pixels]) -> Pixels:
    return np.stack(images) if images else np.zeros((0, 0, 0, 3), dtype=np.uint8)


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
