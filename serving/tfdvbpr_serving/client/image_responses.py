"""What the designer's methods return: images as files with their pixels."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tfdvbpr_serving.client.responses import Floats, Row, texts

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Design:
    """New images for one user and category, best objective first.

    Attributes:
        user_id: of the request; "" for a user given by liked items.
        category: of the request.
        seed: gives the same designs again.
        files: PNG files.
        preferences: float32 [designs], θᵀΦ(G(z, c)).
        realism_logits: float32 [designs], D(G(z, c), c).
        initial_preferences: float32 [designs], the preferences before gradient ascent.
        nearest_item_ids: for each image, the catalogue items with the nearest features, nearest first.
        steps: gradient steps taken.
        known_user: False: the user is unknown, or none was given.
        folded_in: the user profile was built from liked items.
        known_category: False: no such category, and no images.
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

    @classmethod
    def from_row(cls, user_id: str, category: str, seed: int, row: Row) -> Design:
        """A row of `design`."""
        count = int(row["counts"])
        files = tuple(row["image_bytes"][:count].tolist())
        names = ("preferences", "realism_logits", "initial_preferences")
        values = {**{name: row[name][:count] for name in names}, **_steps_and_flags(row)}
        nearest = tuple(texts(ids) for ids in row["nearest_item_ids"][:count].tolist())
        return cls(user_id, category, seed, files, nearest_item_ids=nearest, **values)

    @cached_property
    def images(self) -> Pixels:
        """uint8 [designs, height, width, 3], RGB."""
        return np.stack([_pixels(file) for file in self.files]) if self.files else np.zeros((0, 0, 0, 3), np.uint8)

    @cached_property
    def pil_images(self) -> tuple[Image.Image, ...]:
        """The same as PIL images."""
        return tuple(_pil_image(file) for file in self.files)


class _ImageFile:
    """The pixels of the image in `file`."""

    file: bytes

    @cached_property
    def image(self) -> Pixels:
        """uint8 [height, width, 3], RGB; [0, 0, 3] for an unknown category."""
        return _pixels(self.file)

    @cached_property
    def pil_image(self) -> Image.Image:
        """The same as a PIL image. Raises ValueError for an unknown category."""
        return _pil_image(self.file)


@dataclass(frozen=True, eq=False)
class TailoredImage(_ImageFile):
    """An image changed to fit one user better.

    Attributes:
        user_id: of the request; "" for a user given by liked items.
        category: of the request.
        seed: gives the same image again.
        file: the tailored image, a PNG file; empty for an unknown category.
        inverted_file: the generator's reconstruction of the given image, from which the ascent started.
        preference: θᵀΦ of the tailored image.
        initial_preference: θᵀΦ of the reconstruction.
        realism_logit: D of the tailored image.
        distance: perceptual distance of the tailored image from the reconstruction.
        nearest_item_ids: the catalogue items with the nearest features, nearest first.
        steps: gradient steps taken.
        known_user: False: the user is unknown, or none was given.
        folded_in: the user profile was built from liked items.
        known_category: False: no such category, and no image.
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

    @classmethod
    def from_row(cls, user_id: str, category: str, seed: int, row: Row) -> TailoredImage:
        """A row of `tailor`."""
        files = (row["image_bytes"], row["inverted_image_bytes"])
        names = ("preference", "initial_preference", "realism_logit", "distance")
        values = {**{name: float(row[f"{name}s"]) for name in names}, **_steps_and_flags(row)}
        nearest = texts(row["nearest_item_ids"].tolist())
        return cls(user_id, category, seed, *files, nearest_item_ids=nearest, **values)

    @cached_property
    def inverted_image(self) -> Pixels:
        """The reconstruction, uint8 [height, width, 3]; [0, 0, 3] for an unknown category."""
        return _pixels(self.inverted_file)


@dataclass(frozen=True, eq=False)
class GeneratedImage(_ImageFile):
    """A random image of a category.

    Attributes:
        category: of the request.
        seed: gives the same image again.
        file: a PNG file; empty for an unknown category.
        realism_logit: D(G(z, c), c).
        nearest_item_ids: the catalogue items with the nearest features, nearest first.
        known_category: False: no such category, and no image.
    """

    category: str
    seed: int
    file: bytes
    realism_logit: float
    nearest_item_ids: tuple[str, ...]
    known_category: bool

    @classmethod
    def from_row(cls, category: str, seed: int, row: Row) -> GeneratedImage:
        """A row of `generate`."""
        nearest = texts(row["nearest_item_ids"].tolist())
        logit, known = float(row["realism_logits"]), bool(row["known_categories"])
        return cls(category, seed, row["image_bytes"], logit, nearest, known)


def _steps_and_flags(row: Row) -> dict[str, Any]:
    """The last attributes of `Design` and `TailoredImage`."""
    flags = {"known_user": "known_users", "folded_in": "folded_in", "known_category": "known_categories"}
    return {"steps": int(row["steps"]), **{name: bool(row[output]) for name, output in flags.items()}}


def _pil_image(file: bytes) -> Image.Image:
    from PIL import Image  # here, so that the client itself starts without it

    if not file:
        raise ValueError("There must be an image. Received none: the model does not know the category.")
    return Image.open(io.BytesIO(file)).convert("RGB")


def _pixels(file: bytes) -> Pixels:
    return np.asarray(_pil_image(file)) if file else np.zeros((0, 0, 3), dtype=np.uint8)
