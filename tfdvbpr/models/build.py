"""From a configuration's values to a gradient-trained recommender."""

from __future__ import annotations

from typing import Literal

from tfdvbpr.models.base import PairwiseRecommender
from tfdvbpr.models.bpr_mf import BPRMF
from tfdvbpr.models.dvbpr import DVBPR


def build_recommender(
    model: str,
    *,
    num_users: int,
    num_items: int,
    embedding_dim: int,
    image_size: tuple[int, int],
    backbone: str,
    dropout: float,
    backbone_l2: float,
    tastes: Literal["leave-one-out", "free"],
    seed: int,
) -> PairwiseRecommender:
    """The named model with fresh weights.

    Args:
        model: "dvbpr" or "bpr-mf".
        num_users: rows of θ.
        num_items: size of the catalogue.
        embedding_dim: length of θ_u.
        image_size: (height, width) in pixels.
        backbone: a name in BACKBONES.
        dropout: of the backbone.
        backbone_l2: λ_CNN.
        tastes: how θ comes about; see `DVBPR`.
        seed: of the embeddings' initial values; the backbone's follow `keras.utils.set_random_seed`.

    Raises:
        ValueError: if the model is not trained by gradient, or the backbone is unknown.
    """
    if model == "dvbpr":
        return DVBPR(
            num_users=num_users,
            num_items=num_items,
            embedding_dim=embedding_dim,
            image_size=image_size,
            backbone=backbone,
            dropout=dropout,
            backbone_l2=backbone_l2,
            tastes=tastes,
            seed=seed,
        )
    if model == "bpr-mf":
        return BPRMF(num_users=num_users, num_items=num_items, embedding_dim=embedding_dim, seed=seed)
    raise ValueError(f"`model` must be dvbpr or bpr-mf. Received {model!r}.")
