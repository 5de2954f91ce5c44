"""What the client returns: ids as str, numbers as NumPy arrays, images as files with their pixels."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tfdvbpr_serving.errors import IncompatibleModelError
from tfdvbpr_serving.protocol.messages import Shape, dtype_name, shape_of
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import ModelVersionStatus, SignatureDefMap

if TYPE_CHECKING:
    from PIL import Image

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]
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
        ids, scores = _texts(row["item_ids"][:count]), row["scores"][:count]
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
        ids, similarities = _texts(row["item_ids"][:count]), row["similarities"][:count]
        known = bool(row.get("known_items", True))
        return cls(item_id, category, ids, similarities, known, bool(row["known_categories"]))


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
        nearest = tuple(_texts(ids) for ids in row["nearest_item_ids"][:count].tolist())
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
        nearest = _texts(row["nearest_item_ids"].tolist())
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
        nearest = _texts(row["nearest_item_ids"].tolist())
        logit, known = float(row["realism_logits"]), bool(row["known_categories"])
        return cls(category, seed, row["image_bytes"], logit, nearest, known)


@dataclass(frozen=True)
class ModelVersion:
    """One version of a served model.

    Attributes:
        version: its number.
        state: "START", "LOADING", "AVAILABLE", "UNLOADING", "END" or "UNKNOWN".
        error: why it is not served; "" if there is no error.
    """

    version: int
    state: str
    error: str


@dataclass(frozen=True)
class ServedTensor:
    """Dtype by its NumPy-style name, and shape; None where the request decides, and for the whole shape if unknown."""

    dtype: str
    shape: Shape | None


@dataclass(frozen=True)
class ServedSignature:
    """The inputs and outputs of one served function, by name."""

    inputs: Mapping[str, ServedTensor]
    outputs: Mapping[str, ServedTensor]


@dataclass(frozen=True)
class ModelMetadata:
    """The version that a server serves, and its signatures by name."""

    name: str
    version: int
    signatures: Mapping[str, ServedSignature]


def read_status(response: Any) -> tuple[ModelVersion, ...]:
    """The versions of a `GetModelStatusResponse`, newest first."""
    states = {number: name for name, number in ModelVersionStatus.State.items()}
    versions = (
        ModelVersion(int(v.version), states.get(v.state, "UNKNOWN"), str(v.status.error_message))
        for v in response.model_version_status
    )
    return tuple(sorted(versions, key=lambda v: v.version, reverse=True))


def read_metadata(response: Any) -> ModelMetadata:
    """The version and signatures of a `GetModelMetadataResponse`."""
    signature_map = SignatureDefMap.FromString(response.metadata["signature_def"].value)
    signatures = {
        name: ServedSignature(_served_tensors(signature.inputs), _served_tensors(signature.outputs))
        for name, signature in sorted(signature_map.signature_def.items())
        if not name.startswith("__")  # the SavedModel's own, not for calling
    }
    return ModelMetadata(response.model_spec.name, int(response.model_spec.version.value), signatures)


def _served_tensors(infos: Mapping[str, Any]) -> dict[str, ServedTensor]:
    return {
        name: ServedTensor(dtype_name(info.dtype), shape_of(info.tensor_shape)) for name, info in sorted(infos.items())
    }


def _steps_and_flags(row: Row) -> dict[str, Any]:
    """The last attributes of `Design` and `TailoredImage`."""
    flags = {"known_user": "known_users", "folded_in": "folded_in", "known_category": "known_categories"}
    return {"steps": int(row["steps"]), **{name: bool(row[output]) for name, output in flags.items()}}


def _texts(values: Iterable[bytes]) -> tuple[str, ...]:
    """Ids as str, without the "" that pads a row."""
    return tuple(value.decode() for value in values if value)


def _pil_image(file: bytes) -> Image.Image:
    from PIL import Image  # here, so that the client itself starts without it

    if not file:
        raise ValueError("There must be an image. Received none: the model does not know the category.")
    return Image.open(io.BytesIO(file)).convert("RGB")


def _pixels(file: bytes) -> Pixels:
    return np.asarray(_pil_image(file)) if file else np.zeros((0, 0, 3), dtype=np.uint8)
