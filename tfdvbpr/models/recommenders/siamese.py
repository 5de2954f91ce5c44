"""A siamese CNN on co-purchased pairs: what goes with what, for everybody alike."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tfdvbpr.models.recommenders.pictured import Pictured

_FIRST_SCALE = 5.0


@keras.saving.register_keras_serializable(package="tfdvbpr")
class SiameseCNN(Pictured):
    """s · cos(Φ(X_a), Φ(X_i)) of a liked item a and another item i; no user is ever looked at.

    The kind of model the DVBPR paper contrasts itself with (Veit et al. 2015, who train on co-purchased pairs by a
    contrastive loss; here a pair is ranked against pairs nobody bought, by any of the ranking losses). Users are then
    ranked for as by VisRank, on Φ.

    Takes the arguments of `Pictured`.
    """

    uses_anchors = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.user_embeddings.trainable = False
        first = keras.initializers.Constant(math.log(_FIRST_SCALE))
        self.log_scale = self.add_weight(name="log_scale", shape=(), initializer=first)

    def embed_images(self, images: Any, *, training: bool = False) -> Any:
        """Φ(X) / ‖Φ(X)‖: float32 [B, H, W, 3] in [-1, 1] to float32 [B, D]."""
        return ops.normalize(super().embed_images(images, training=training), axis=1)

    def embed_items(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """√s · Φ of the pictures, so that the scale s falls on both sides of a pair; the bias is zero."""
        embeddings = ops.exp(0.5 * self.log_scale) * self.embed_images(images, training=training)
        return embeddings, ops.zeros_like(embeddings[:, 0])
