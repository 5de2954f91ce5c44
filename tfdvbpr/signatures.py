"""Every served signature: names, dtypes, shapes and meaning, in plain Python.

The exporter builds its heads from these tables, the client reads its answers by them, and contract tests compare the
three. Every input and output of a signature shares its leading (batch) dimension, which TensorFlow Serving's request
batching needs; `None` is a size that the request decides. A server requires every input of a signature in every
request; an input with a neutral value may be filled with it.

Tensors of whole image files have names that end in `_bytes`: TensorFlow Serving's REST sends those as base64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

RECOMMENDER_MODEL_NAME = "recommender"
DESIGNER_MODEL_NAME = "designer"

Neutral = str | int | float | bool


@dataclass(frozen=True)
class TensorDescription:
    """One named input or output.

    Attributes:
        dtype: a NumPy-style name: "string", "int32", "int64", "float32" or "bool".
        shape: sizes with the batch first; `None` where the request or the exported model decides.
        meaning: one sentence, with units or range.
        neutral: of an input, the value that requests nothing in particular; None where the caller must give one. An
            input of two dimensions is filled with one column of it, and padded with it to the right.
    """

    dtype: str
    shape: tuple[int | None, ...]
    meaning: str
    neutral: Neutral | None = None


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of one served function.

    Attributes:
        model: the served model it belongs to.
        meaning: one sentence.
        inputs: by name, in the order of the client's arguments.
        outputs: by name.
    """

    model: str
    meaning: str
    inputs: Mapping[str, TensorDescription]
    outputs: Mapping[str, TensorDescription]

    @property
    def takes_images(self) -> bool:
        """Whether an input holds image files."""
        return any(name.endswith("_bytes") for name in self.inputs)

    def neutral(self, name: str, num_rows: int) -> list[Neutral] | list[list[Neutral]]:
        """The neutral value of an input for a batch, as nested lists: [B], or [B, 1] where it has two dimensions.

        Raises:
            KeyError: if there is no such input, or it has to be given.
        """
        tensor = self.inputs[name]
        if tensor.neutral is None:
            raise KeyError(name)
        if len(tensor.shape) == 1:
            return [tensor.neutral] * num_rows
        return [[tensor.neutral] for _ in range(num_rows)]


_Tensors = dict[str, TensorDescription]
_ROW, _ROWS = (None,), (None, None)

_USERS: _Tensors = {"user_ids": TensorDescription("string", _ROW, "User ids, as in the interactions.")}
_KNOWN_USERS: _Tensors = {
    "known_users": TensorDescription("bool", _ROW, "False: an unknown user, who gets the mean user embedding.")
}
_LIKED: _Tensors = {
    "liked_item_ids": TensorDescription(
        "string", _ROWS, 'Items the user likes; "" and unknown ids count for nothing, one named twice counts once.'
    )
}
_KNOWN_LIKED: _Tensors = {
    "known_liked_items": TensorDescription(
        "bool", _ROWS, 'False where a liked item is not in the catalogue; "" counts as known.'
    ),
    "folded_in": TensorDescription("bool", _ROW, "True: the user embedding is folded in from liked items."),
}
_IMAGES: _Tensors = {"image_bytes": TensorDescription("string", _ROW, "A whole JPEG or PNG file each, of any size.")}
_HOW_MANY: _Tensors = {
    "k": TensorDescription(
        "int32", _ROW, "How many items, 0 for the model's default; at most the model's most and the catalogue.", 0
    ),
    "categories": TensorDescription("string", _ROW, 'A category name, or "" for every category.', ""),
}
_EXCLUDED: _Tensors = {
    "exclude_item_ids": TensorDescription("string", _ROWS, 'Items to exclude; "" for none.', ""),
}
_FILTERS: _Tensors = {
    "filters": TensorDescription(
        "string", _ROWS, 'Names of filters of the model, all of which an item must pass; "" for none.', ""
    ),
}
_KNOWN_FILTERS: _Tensors = {
    "known_filters": TensorDescription(
        "bool", _ROWS, 'False: no such filter, and the row is empty; "" counts as known.'
    )
}
_RANKED: _Tensors = {
    "item_ids": TensorDescription("string", _ROWS, 'Best first; "" past a row\'s own count.'),
    "scores": TensorDescription("float32", _ROWS, "x̂ of those items, unitless; -inf past a row's own count."),
    "counts": TensorDescription("int32", _ROW, "How many items the row holds: k, or fewer where fewer are left."),
}
_KNOWN_EXCLUDED: _Tensors = {
    "known_excluded_items": TensorDescription(
        "bool", _ROWS, 'False where an item to exclude is not in the catalogue; "" counts as known.'
    )
}
_KNOWN_CATEGORIES: _Tensors = {
    "known_categories": TensorDescription("bool", _ROW, "False: no such category, and the row is empty.")
}
_SIMILAR: _Tensors = {
    "item_ids": _RANKED["item_ids"],
    "similarities": TensorDescription(
        "float32", _ROWS, "Cosine of the two embeddings, -1 to 1; -inf past a row's own count."
    ),
    "counts": _RANKED["counts"],
}
_SEEDS: _Tensors = {"seeds": TensorDescription("int64", _ROW, "The same seed gives the same images.", 0)}
_CATEGORY: _Tensors = {"categories": TensorDescription("string", _ROW, "A category name of the generator.")}
_ASCENT: _Tensors = {
    "num_steps": TensorDescription("int32", _ROW, "Gradient steps, 0 for the model's default; at most its most.", 0),
    **_SEEDS,
    "realism_weights": TensorDescription("float32", _ROW, "η, 0 or more; below 0 for the model's default.", -1.0),
}
_FIGURES: _Tensors = {
    "preferences": TensorDescription("float32", _ROWS, "θᵀΦ of each image, unitless; NaN where there is none."),
    "initial_preferences": TensorDescription("float32", _ROWS, "θᵀΦ at the first step; NaN where there is none."),
    "realism_logits": TensorDescription("float32", _ROWS, "D of each image, as the GAN's objective has it, or NaN."),
}
_NEAREST = TensorDescription(
    "string", _ROWS, "Catalogue items of the category nearest to the image in Φ, nearest first."
)
_STEPS = TensorDescription("int32", _ROW, "Gradient steps that were made.")
_KNOWN_GENERATED: _Tensors = {
    "known_categories": TensorDescription("bool", _ROW, "False: no such category, and no image.")
}


def _optional(tensors: _Tensors, neutral: Neutral) -> _Tensors:
    return {name: TensorDescription(t.dtype, t.shape, t.meaning, neutral) for name, t in tensors.items()}


_OPTIONAL_USERS: _Tensors = {
    "user_ids": TensorDescription("string", _ROW, 'User ids; "" folds in a user from the liked items.', ""),
    **_optional(_LIKED, ""),
}
_TOWARD: _Tensors = {
    "more_like_item_ids": TensorDescription(
        "string", _ROWS, 'Items that images should be more like; "" for none, unknown ones count for nothing.', ""
    ),
    "less_like_item_ids": TensorDescription(
        "string", _ROWS, 'Items that images should be less like; "" for none, unknown ones count for nothing.', ""
    ),
}
_KNOWN_TOWARD: _Tensors = {
    f"known_{which}_like_items": TensorDescription(
        "bool", _ROWS, 'False where an item is not in the catalogue; "" counts as known.'
    )
    for which in ("more", "less")
}


def _signature(model: str, meaning: str, inputs: _Tensors, outputs: _Tensors) -> Signature:
    return Signature(model, meaning, MappingProxyType(inputs), MappingProxyType(outputs))


RECOMMEND = _signature(
    RECOMMENDER_MODEL_NAME,
    "The best k items of the catalogue, or of one category, for each user, best first; ties by catalogue order.",
    {
        **_USERS,
        **_HOW_MANY,
        **_EXCLUDED,
        "exclude_seen": TensorDescription("bool", _ROW, "True excludes the items the user has acted on.", True),
        **_FILTERS,
    },
    {**_RANKED, **_KNOWN_USERS, **_KNOWN_CATEGORIES, **_KNOWN_EXCLUDED, **_KNOWN_FILTERS},
)

RECOMMEND_FOR_ITEMS = _signature(
    RECOMMENDER_MODEL_NAME,
    "The best k items for new users, folded in from items they like.",
    {
        **_LIKED,
        **_HOW_MANY,
        **_EXCLUDED,
        "exclude_liked": TensorDescription("bool", _ROW, "True excludes the liked items themselves.", True),
        **_FILTERS,
    },
    {**_RANKED, **_KNOWN_LIKED, **_KNOWN_CATEGORIES, **_KNOWN_EXCLUDED, **_KNOWN_FILTERS},
)

SCORE = _signature(
    RECOMMENDER_MODEL_NAME,
    "The score x̂_ui of each named item for each user.",
    {
        **_USERS,
        "item_ids": TensorDescription("string", _ROWS, "Item ids to score for the user of the same row."),
    },
    {
        "scores": TensorDescription("float32", _ROWS, "x̂_ui, unitless; -inf where the item is unknown."),
        **_KNOWN_USERS,
        "known_items": TensorDescription("bool", _ROWS, "False where the item is not in the catalogue."),
    },
)

SCORE_IMAGES = _signature(
    RECOMMENDER_MODEL_NAME,
    "The score of an image for a user, by Φ alone; it need not be of an item in the catalogue.",
    {**_USERS, **_IMAGES},
    {"scores": TensorDescription("float32", _ROW, "θ_uᵀΦ(X), unitless."), **_KNOWN_USERS},
)

SIMILAR_ITEMS = _signature(
    RECOMMENDER_MODEL_NAME,
    "The k items most similar to each item, without itself.",
    {"query_item_ids": TensorDescription("string", _ROW, "Item ids."), **_HOW_MANY},
    {
        **_SIMILAR,
        "known_items": TensorDescription("bool", _ROW, "False: not in the catalogue, and the row is empty."),
        **_KNOWN_CATEGORIES,
    },
)

SIMILAR_IMAGES = _signature(
    RECOMMENDER_MODEL_NAME,
    "The k items most similar to each image.",
    {**_IMAGES, **_HOW_MANY},
    {**_SIMILAR, **_KNOWN_CATEGORIES},
)

EMBED_IMAGES = _signature(
    RECOMMENDER_MODEL_NAME,
    "Φ(X): the embedding of images; they need not be of items in the catalogue.",
    _IMAGES,
    {"embeddings": TensorDescription("float32", _ROWS, "Φ(X) [B, embedding_dim]; scores are its dot products.")},
)

DESIGN = _signature(
    DESIGNER_MODEL_NAME,
    "New images of a category for a user: gradient ascent on the generator's latents, several starts.",
    {
        **_OPTIONAL_USERS,
        **_TOWARD,
        **_CATEGORY,
        "num_designs": TensorDescription("int32", _ROW, "How many images, 0 for all of the model's starts.", 0),
        **_ASCENT,
    },
    {
        "image_bytes": TensorDescription(
            "string", _ROWS, 'PNG files, best objective first; "" past a row\'s own count.'
        ),
        "counts": TensorDescription("int32", _ROW, "How many images the row holds."),
        **_FIGURES,
        "nearest_item_ids": TensorDescription("string", (None, None, None), f"[B, S, n]: {_NEAREST.meaning}"),
        "steps": _STEPS,
        **_KNOWN_USERS,
        **_KNOWN_LIKED,
        **_KNOWN_TOWARD,
        **_KNOWN_GENERATED,
    },
)

TAILOR = _signature(
    DESIGNER_MODEL_NAME,
    "An image tailored to a user: inverted to a latent of the generator, which then moves toward the user.",
    {
        **_IMAGES,
        **_OPTIONAL_USERS,
        **_TOWARD,
        **_CATEGORY,
        "strengths": TensorDescription(
            "float32",
            _ROW,
            "Weight of preference against the distance from the image, 0 or more; below 0 for the default.",
            -1.0,
        ),
        "keep": TensorDescription(
            "string", _ROWS, 'What must stay of the image besides: "colour", "cut", or both; "" for nothing.', ""
        ),
        **_ASCENT,
    },
    {
        "image_bytes": TensorDescription("string", _ROW, 'The tailored image, a PNG file; "" for an unknown category.'),
        "inverted_image_bytes": TensorDescription(
            "string", _ROW, "The generator's reconstruction of the image that was sent, where tailoring starts."
        ),
        **{name: TensorDescription(t.dtype, _ROW, t.meaning) for name, t in _FIGURES.items()},
        "distances": TensorDescription(
            "float32", _ROW, "Perceptual distance between the tailored image and the reconstruction."
        ),
        "nearest_item_ids": _NEAREST,
        "steps": _STEPS,
        **_KNOWN_USERS,
        **_KNOWN_LIKED,
        **_KNOWN_TOWARD,
        **_KNOWN_GENERATED,
    },
)

GENERATE = _signature(
    DESIGNER_MODEL_NAME,
    "Random images of a category from the generator.",
    {**_CATEGORY, **_SEEDS},
    {
        "image_bytes": TensorDescription("string", _ROW, 'A PNG file each; "" where the category is unknown.'),
        "realism_logits": TensorDescription("float32", _ROW, "D of each image, as the GAN's objective has it."),
        "nearest_item_ids": _NEAREST,
        **_KNOWN_GENERATED,
    },
)

SIGNATURES: Mapping[str, Signature] = MappingProxyType(
    {
        "recommend": RECOMMEND,
        "recommend_for_items": RECOMMEND_FOR_ITEMS,
        "score": SCORE,
        "similar_items": SIMILAR_ITEMS,
        "score_images": SCORE_IMAGES,
        "similar_images": SIMILAR_IMAGES,
        "embed_images": EMBED_IMAGES,
        "design": DESIGN,
        "tailor": TAILOR,
        "generate": GENERATE,
    }
)
