"""Every served signature: names, dtypes, shapes and meaning, in plain Python.

The exporter builds its heads from these tables, the client reads its answers by them, and a contract test holds the
three together. Every input and output of a signature shares its leading (batch) dimension, which is what TensorFlow
Serving's request batching needs; `None` is a size the request decides. A server wants every input of a signature in
every request; an input with a neutral value may be filled with it.

Tensors of whole picture files have names that end in `_bytes`: TensorFlow Serving's REST sends those as base64.
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
        neutral: of an input, the value that asks for nothing in particular; None where the caller has to say. An input
            of two dimensions is filled with one column of it, and padded with it to the right.
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
        meaning: one sentence for people.
        inputs: by name, in the order of the client's arguments.
        outputs: by name.
    """

    model: str
    meaning: str
    inputs: Mapping[str, TensorDescription]
    outputs: Mapping[str, TensorDescription]

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
    "known_users": TensorDescription("bool", _ROW, "False: an unknown user, for whom the mean taste stands in.")
}
_LIKED: _Tensors = {
    "liked_item_ids": TensorDescription(
        "string", _ROWS, 'Items the person likes; "" and unknown ids count for nothing, one named twice counts once.'
    )
}
_KNOWN_LIKED: _Tensors = {
    "known_liked_items": TensorDescription("bool", _ROWS, 'False where a liked item is not in the catalogue; "" is.'),
    "folded_in": TensorDescription(
        "bool", _ROW, "True: the taste comes from liked items; else it is known, or the mean."
    ),
}
_PICTURES: _Tensors = {"image_bytes": TensorDescription("string", _ROW, "A whole JPEG or PNG file each, of any size.")}
_HOW_MANY: _Tensors = {
    "k": TensorDescription(
        "int32", _ROW, "How many items, 0 for the model's default; at most the model's most and the catalogue.", 0
    ),
    "categories": TensorDescription("string", _ROW, 'A category name, or "" for every category.', ""),
}
_EXCLUDED: _Tensors = {
    "exclude_item_ids": TensorDescription("string", _ROWS, 'Items to leave out; "" for none.', ""),
}
_RANKED: _Tensors = {
    "item_ids": TensorDescription("string", _ROWS, 'Best first; "" past a row\'s own count.'),
    "scores": TensorDescription("float32", _ROWS, "x̂ of those items, unitless; -inf past a row's own count."),
    "counts": TensorDescription("int32", _ROW, "How many items the row holds: k, or fewer where fewer are left."),
}
_KNOWN_EXCLUDED: _Tensors = {
    "known_excluded_items": TensorDescription("bool", _ROWS, 'False where there is no such item to leave out; "" is.')
}
_KNOWN_CATEGORIES: _Tensors = {
    "known_categories": TensorDescription("bool", _ROW, "False: no such category, and the row is empty.")
}
_ALIKE: _Tensors = {
    "item_ids": _RANKED["item_ids"],
    "similarities": TensorDescription(
        "float32", _ROWS, "Cosine of the two embeddings, -1 to 1; -inf past a row's own count."
    ),
    "counts": _RANKED["counts"],
}
_SEEDS: _Tensors = {"seeds": TensorDescription("int64", _ROW, "The same seed gives the same pictures.", 0)}
_CATEGORY: _Tensors = {"categories": TensorDescription("string", _ROW, "A category name of the generator.")}
_CLIMB: _Tensors = {
    "num_steps": TensorDescription("int32", _ROW, "Gradient steps, 0 for the model's default; at most its most.", 0),
    **_SEEDS,
    "realism_weights": TensorDescription("float32", _ROW, "η, 0 or more; below 0 for the model's default.", -1.0),
}
_FIGURES: _Tensors = {
    "preferences": TensorDescription("float32", _ROWS, "θᵀΦ of each picture, unitless; NaN where there is none."),
    "initial_preferences": TensorDescription("float32", _ROWS, "θᵀΦ where the change began; NaN where there is none."),
    "realism_logits": TensorDescription("float32", _ROWS, "D of each picture, as the GAN's objective has it, or NaN."),
}
_NEAREST = TensorDescription(
    "string", _ROWS, "Catalogue items of the category that look most like the picture, nearest first."
)
_STEPS = TensorDescription("int32", _ROW, "Gradient steps that were taken.")
_KNOWN_DRAWN: _Tensors = {
    "known_categories": TensorDescription("bool", _ROW, "False: no such category, and no picture.")
}


def _optional(tensors: _Tensors, neutral: Neutral) -> _Tensors:
    return {name: TensorDescription(t.dtype, t.shape, t.meaning, neutral) for name, t in tensors.items()}


_OPTIONAL_TASTE: _Tensors = {
    "user_ids": TensorDescription("string", _ROW, 'User ids; "" takes the taste from the liked items.', ""),
    **_optional(_LIKED, ""),
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
        "exclude_seen": TensorDescription("bool", _ROW, "True leaves out the items the user has acted on.", True),
    },
    {**_RANKED, **_KNOWN_USERS, **_KNOWN_CATEGORIES, **_KNOWN_EXCLUDED},
)

RECOMMEND_FOR_ITEMS = _signature(
    RECOMMENDER_MODEL_NAME,
    "The best k items for people without a history, from items they like: folded in, then ranked.",
    {
        **_LIKED,
        **_HOW_MANY,
        **_EXCLUDED,
        "exclude_liked": TensorDescription("bool", _ROW, "True leaves out the liked items themselves.", True),
    },
    {**_RANKED, **_KNOWN_LIKED, **_KNOWN_CATEGORIES, **_KNOWN_EXCLUDED},
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
    "The score of a picture, of an item in the catalogue or not, for a user, by its looks alone.",
    {**_USERS, **_PICTURES},
    {"scores": TensorDescription("float32", _ROW, "θ_uᵀΦ(X), unitless."), **_KNOWN_USERS},
)

SIMILAR_ITEMS = _signature(
    RECOMMENDER_MODEL_NAME,
    "The k items that the model finds most alike to each item, itself left out.",
    {"query_item_ids": TensorDescription("string", _ROW, "Item ids."), **_HOW_MANY},
    {
        **_ALIKE,
        "known_items": TensorDescription("bool", _ROW, "False: not in the catalogue, and the row is empty."),
        **_KNOWN_CATEGORIES,
    },
)

SIMILAR_IMAGES = _signature(
    RECOMMENDER_MODEL_NAME,
    "The k items that the model finds most alike to each picture.",
    {**_PICTURES, **_HOW_MANY},
    {**_ALIKE, **_KNOWN_CATEGORIES},
)

EMBED_IMAGES = _signature(
    RECOMMENDER_MODEL_NAME,
    "Φ(X): the embedding of pictures, of items in the catalogue or not.",
    _PICTURES,
    {"embeddings": TensorDescription("float32", _ROWS, "Φ(X) [B, embedding_dim]; scores are its dot products.")},
)

DESIGN = _signature(
    DESIGNER_MODEL_NAME,
    "New pictures of a category that fit a taste: gradient ascent on the generator's latents, several starts.",
    {
        **_OPTIONAL_TASTE,
        **_CATEGORY,
        "num_designs": TensorDescription("int32", _ROW, "How many pictures, 0 for all of the model's starts.", 0),
        **_CLIMB,
    },
    {
        "image_bytes": TensorDescription(
            "string", _ROWS, 'PNG files, best objective first; "" past a row\'s own count.'
        ),
        "counts": TensorDescription("int32", _ROW, "How many pictures the row holds."),
        **_FIGURES,
        "nearest_item_ids": TensorDescription("string", (None, None, None), f"[B, S, n]: {_NEAREST.meaning}"),
        "steps": _STEPS,
        **_KNOWN_USERS,
        **_KNOWN_LIKED,
        **_KNOWN_DRAWN,
    },
)

TAILOR = _signature(
    DESIGNER_MODEL_NAME,
    "A picture made to fit a taste better: inverted into the generator's latents, then moved towards the taste.",
    {
        **_PICTURES,
        **_OPTIONAL_TASTE,
        **_CATEGORY,
        "strengths": TensorDescription(
            "float32", _ROW, "How much of likeness to give up for taste, 0 or more; below 0 for the default.", -1.0
        ),
        **_CLIMB,
    },
    {
        "image_bytes": TensorDescription(
            "string", _ROW, 'The tailored picture, a PNG file; "" for an unknown category.'
        ),
        "inverted_image_bytes": TensorDescription(
            "string", _ROW, "What the generator makes of the picture that was sent: where the change began."
        ),
        **{name: TensorDescription(t.dtype, _ROW, t.meaning) for name, t in _FIGURES.items()},
        "distances": TensorDescription("float32", _ROW, "How far the tailored picture looks from the inverted one."),
        "nearest_item_ids": _NEAREST,
        "steps": _STEPS,
        **_KNOWN_USERS,
        **_KNOWN_LIKED,
        **_KNOWN_DRAWN,
    },
)

GENERATE = _signature(
    DESIGNER_MODEL_NAME,
    "Random pictures of a category from the generator, for no one in particular.",
    {**_CATEGORY, **_SEEDS},
    {
        "image_bytes": TensorDescription("string", _ROW, 'A PNG file each; "" where the category is unknown.'),
        "realism_logits": TensorDescription("float32", _ROW, "D of each picture, as the GAN's objective has it."),
        "nearest_item_ids": _NEAREST,
        **_KNOWN_DRAWN,
    },
)

SIGNATURES: Mapping[str, Signature] = MappingProxyType(
    {
        "recommend": RECOMMEND,
        "recommend_for_items": RECOMMEND_FOR_ITEMS,
        "score": SCORE,
        "score_images": SCORE_IMAGES,
        "similar_items": SIMILAR_ITEMS,
        "similar_images": SIMILAR_IMAGES,
        "embed_images": EMBED_IMAGES,
        "design": DESIGN,
        "tailor": TAILOR,
        "generate": GENERATE,
    }
)
