"""What decides the shape of a recommender; plain values, so that a run folder can tell it without loading Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Architecture:
    """What decides the shape of a recommender, whichever it is.

    Attributes:
        num_users: rows of θ.
        num_items: size of the catalogue.
        image_size: (height, width) in pixels.
        embedding_dim: length of θ_u.
        factor_dim: length of the non-visual factors beside it.
        item_bias: whether items have a bias.
        backbone: a name in BACKBONES.
        dropout: of the backbone.
        backbone_l2: λ_CNN.
        tastes: how DVBPR's θ comes about.
        features: a name in FEATURE_EXTRACTORS.
        seed: of the tables' initial values; the backbone's follow `keras.utils.set_random_seed`.
    """

    num_users: int
    num_items: int
    image_size: tuple[int, int]
    embedding_dim: int
    factor_dim: int = 0
    item_bias: bool = False
    backbone: str = "small_cnn"
    dropout: float = 0.0
    backbone_l2: float = 0.0
    tastes: Literal["leave-one-out", "free"] = "leave-one-out"
    features: str = "colour-and-edges"
    seed: int = 0
