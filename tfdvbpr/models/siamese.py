"""A siamese CNN on co-purchased pairs: what goes with what, for everybody alike."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tfdvbpr.models.backbones import BACKBONES
from tfdvbpr.models.base import PairwiseRecommender

_FIRST_SCALE = 5.0


@keras.saving.register_keras_serializable(package="tfdvbpr")
class SiameseCNN(PairwiseRecommender):
    """s · cos(Φ(X_a), Φ(X_i)) of a liked item a and another item i; no user is ever looked at.

    The kind of model the DVBPR paper contrasts itself with (Veit et al. 2015, who train on co-purchased pairs by a
    contrastive loss; here a pair is ranked against pairs nobody bought, by any of the ranking losses). Users are then
    ranked for as by VisRank, on Φ.

    Args:
        image_size: (height, width) of Φ's input, in pixels.
        backbone: a name in BACKBONES.
        dropout: of the backbone.
        backbone_l2: weight of ½‖W‖².
        **kwargs: of `PairwiseRecommender`; `embedding_dim` is the length of Φ.
    """

    uses_images = True
    uses_anchors = True

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        backbone: str = "small_cnn",
        dropout: float = 0.0,
        backbone_l2: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.user_embeddings.trainable = False
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.backbone_name = backbone
        self.dropout = dropout
        self.backbone_l2 = backbone_l2
        self.backbone = BACKBONES[backbone](
            self.image_size, embedding_dim=self.embedding_dim, dropout=dropout, l2=backbone_l2
        )
        first = keras.initializers.Constant(math.log(_FIRST_SCALE))
        self.log_scale = self.add_weight(name="log_scale", shape=(), initializer=first)

    def embed_images(self, images: Any, *, training: bool = False) -> Any:
        """Φ(X) / ‖Φ(X)‖: float32 [B, H, W, 3] in [-1, 1] to float32 [B, D]."""
        return ops.normalize(self.backbone(images, training=training), axis=1)

    def embed_items(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """√s · Φ of the pictures, so that the scale s falls on both sides of a pair; the bias is zero."""
        embeddings = ops.exp(0.5 * self.log_scale) * self.embed_images(images, training=training)
        return embeddings, ops.zeros_like(embeddings[:, 0])

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras."""
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "backbone": self.backbone_name,
            "dropout": self.dropout,
            "backbone_l2": self.backbone_l2,
        }
