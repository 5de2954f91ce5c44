"""From a configuration's values to a gradient-trained recommender."""

from __future__ import annotations

from typing import Any

from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.models.recommenders.architecture import Architecture
from tfdvbpr.models.recommenders.base import PairwiseRecommender
from tfdvbpr.models.recommenders.bpr_mf import BPRMF
from tfdvbpr.models.recommenders.dvbpr import DVBPR
from tfdvbpr.models.recommenders.factorization_machine import FactorizationMachine
from tfdvbpr.models.recommenders.siamese import SiameseCNN
from tfdvbpr.models.recommenders.vbpr import VBPR


def build_recommender(model: str, shape: Architecture) -> PairwiseRecommender:
    """The named model with fresh weights.

    Args:
        model: a name in RECOMMENDERS that is trained by gradient.
        shape: its sizes and parts; each model takes what it has.

    Raises:
        ValueError: if the model is not trained by gradient, or the backbone is unknown.
    """
    table: dict[str, Any] = {
        "num_users": shape.num_users,
        "num_items": shape.num_items,
        "embedding_dim": shape.embedding_dim,
        "user_initializer": shape.user_initializer,
        "seed": shape.seed,
    }
    beside: dict[str, Any] = {"factor_dim": shape.factor_dim, "item_bias": shape.item_bias}
    network: dict[str, Any] = {
        "image_size": shape.image_size,
        "backbone": shape.backbone,
        "dropout": shape.dropout,
        "backbone_l2": shape.backbone_l2,
        "head_units": shape.head_units,
        "backbone_weights": shape.backbone_weights,
        "backbone_trainable": shape.backbone_trainable,
    }
    match model:
        case "dvbpr" | "hybrid-dvbpr":
            return DVBPR(**table, **beside, **network, tastes=shape.tastes)
        case "siamese":
            return SiameseCNN(**table, **network)
        case "vbpr":
            return VBPR(**table, **beside, feature_dim=_feature_dim(shape))
        case "fm":
            return FactorizationMachine(**table, feature_dim=_feature_dim(shape))
        case "bpr-mf" | "warp":
            return BPRMF(**table)
    raise ValueError(f"`model` must be one that is trained by gradient. Received {model!r}.")


def _feature_dim(shape: Architecture) -> int:
    return FEATURE_EXTRACTORS[shape.features].feature_dim(shape.image_size)
