"""Every served signature: names, dtypes, shapes and meaning, in plain Python.

The exporter builds its heads from these tables, the client reads its answers by them, and a contract test holds the
three together. Every input and output of a signature shares its leading (batch) dimension, which is what TensorFlow
Serving's request batching needs; `None` is a size the request decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

RECOMMENDER_MODEL_NAME = "recommender"
DESIGNER_MODEL_NAME = "designer"


@dataclass(frozen=True)
class TensorDescription:
    """One named input or output.

    Attributes:
        dtype: a NumPy-style name: "string", "int32", "int64", "float32", "uint8" or "bool".
        shape: sizes with the batch first; `None` where the request or the exported model decides.
        meaning: one sentence, with units or range.
    """

    dtype: str
    shape: tuple[int | None, ...]
    meaning: str


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of one served function.

    Attributes:
        model: the served model it belongs to.
        meaning: one sentence for people.
        inputs: by name, in the order of the client's arguments.
        outputs: by name.
    """

    model: str
    meaning: str
    inputs: Mapping[str, TensorDescription]
    outputs: Mapping[str, TensorDescription]


def _signature(
    model: str, meaning: str, inputs: dict[str, TensorDescription], outputs: dict[str, TensorDescription]
) -> Signature:
    return Signature(model, meaning, MappingProxyType(inputs), MappingProxyType(outputs))


SCORE = _signature(
    RECOMMENDER_MODEL_NAME,
    "The score x̂_ui of each named item for each user.",
    {
        "user_ids": TensorDescription("string", (None,), "User ids, as in the interactions."),
        "item_ids": TensorDescription("string", (None, None), "Item ids to score for the user of the same row."),
    },
    {
        "scores": TensorDescription("float32", (None, None), "x̂_ui, unitless; NaN where the item is unknown."),
        "known_users": TensorDescription("bool", (None,), "False: an unknown user, scored with the mean taste."),
        "known_items": TensorDescription("bool", (None, None), "False where the item is not in the catalogue."),
    },
)

RECOMMEND = _signature(
    RECOMMENDER_MODEL_NAME,
    "The best k items of the catalogue, or of one category, for each user, best first; ties by catalogue order.",
    {
        "user_ids": TensorDescription("string", (None,), "User ids, as in the interactions."),
        "k": TensorDescription(
            "int32", (None,), "How many items, 1 or more; larger than the catalogue gives all of it."
        ),
        "categories": TensorDescription("string", (None,), 'A category name, or "" for every category.'),
        "exclude_seen": TensorDescription("bool", (None,), "True leaves out the items the user has acted on."),
    },
    {
        "item_ids": TensorDescription("string", (None, None), 'Best first; "" past a row\'s own k or last candidate.'),
        "scores": TensorDescription("float32", (None, None), "x̂_ui of those items; -inf past the last."),
        "known_users": TensorDescription("bool", (None,), "False: an unknown user, ranked by the mean taste."),
        "known_categories": TensorDescription("bool", (None,), "False: no such category, so the row is empty."),
    },
)

EMBED_IMAGES = _signature(
    RECOMMENDER_MODEL_NAME,
    "Φ(X): the embedding of pictures, of items in the catalogue or not.",
    {"images": TensorDescription("string", (None,), "A whole JPEG or PNG file each, of any size.")},
    {"embeddings": TensorDescription("float32", (None, None), "Φ(X) [B, embedding_dim]; scores are its dot products.")},
)

DESIGN = _signature(
    DESIGNER_MODEL_NAME,
    "New pictures of a category that fit a user's taste: gradient ascent on the generator's latents, several starts.",
    {
        "user_ids": TensorDescription("string", (None,), "User ids, as in the interactions."),
        "categories": TensorDescription("string", (None,), "A category name of the generator."),
        "seeds": TensorDescription("int64", (None,), "The same seed gives the same designs."),
    },
    {
        "images": TensorDescription(
            "uint8", (None, None, None, None, 3), "[B, starts, height, width, 3] RGB, best objective first."
        ),
        "preferences": TensorDescription("float32", (None, None), "θᵀΦ(G(z, c)) of each, unitless."),
        "realism_logits": TensorDescription("float32", (None, None), "D(G(z, c), c); 1 is what D calls real (LSGAN)."),
        "initial_preferences": TensorDescription("float32", (None, None), "θᵀΦ(G(z, c)) where the ascent began."),
        "known_users": TensorDescription("bool", (None,), "False: an unknown user, designed for with the mean taste."),
        "known_categories": TensorDescription(
            "bool", (None,), "False: no such category; the row's pictures are blank."
        ),
    },
)

GENERATE = _signature(
    DESIGNER_MODEL_NAME,
    "Random pictures of a category from the generator, for no one in particular.",
    {
        "categories": TensorDescription("string", (None,), "A category name of the generator."),
        "seeds": TensorDescription("int64", (None,), "The same seed gives the same picture."),
    },
    {
        "images": TensorDescription("uint8", (None, None, None, 3), "[B, height, width, 3] RGB."),
        "realism_logits": TensorDescription("float32", (None,), "D(G(z, c), c); 1 is what D calls real (LSGAN)."),
        "known_categories": TensorDescription("bool", (None,), "False: no such category; the picture is blank."),
    },
)

SIGNATURES: Mapping[str, Signature] = MappingProxyType(
    {
        "score": SCORE,
        "recommend": RECOMMEND,
        "embed_images": EMBED_IMAGES,
        "design": DESIGN,
        "generate": GENERATE,
    }
)
