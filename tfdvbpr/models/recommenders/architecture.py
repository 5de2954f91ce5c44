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
        head_units: of a hidden layer above a pretrained trunk.
        backbone_weights: what the backbone begins with; "random" where weights are loaded afterwards.
        backbone_trainable: how much of the backbone is trained.
        tastes: how DVBPR's θ comes about.
        features: a name in FEATURE_EXTRACTORS.
        user_initializer: of θ.
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
    head_units: int = 0
    backbone_weights: Literal["auto", "imagenet", "random"] = "auto"
    backbone_trainable: str = "all"
    tastes: Literal["leave-one-out", "free"] = "leave-one-out"
    features: str = "colour-and-edges"
    user_initializer: Literal["normal", "uniform"] = "normal"
    seed: int = 0
