"""DVBPR: x̂_ui = θ_uᵀ Φ(X_i), with Φ a CNN trained together with θ; by choice a bias and factors beside it."""

from __future__ import annotations

import math
from typing import Any, Literal

import keras
from keras import ops

from tfdvbpr.models.backbones import BACKBONES
from tfdvbpr.models.base import VisualRecommender

_FIRST_SCALE = 0.1


@keras.saving.register_keras_serializable(package="tfdvbpr")
class DVBPR(VisualRecommender):
    """Deep visual BPR, Kang et al. 2017: no item bias and no non-visual item factor, unless they are asked for.

    Args:
        num_users: rows of θ.
        num_items: size of the catalogue (kept for the common interface; no weight depends on it).
        embedding_dim: K, length of θ_u and Φ(X).
        image_size: (height, width) of Φ's input, in pixels.
        backbone: a name in BACKBONES.
        dropout: of the backbone.
        backbone_l2: λ_CNN, the weight of ½‖W‖² added by the backbone's layers.
        tastes: "free": θ is trained, as in the paper. "leave-one-out": θ_u = prior + scale · mean of the items u
            acted on; prior and scale are trained, θ is filled in from the means.
        factor_dim: length of non-visual factors γ beside θ and Φ; the paper's model has none.
        item_bias: whether items have a bias β; the paper's have not.
        seed: of the initial values of θ and γ.

    Raises:
        ValueError: if there is no such backbone.
    """

    uses_images = True

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        embedding_dim: int,
        image_size: tuple[int, int],
        backbone: str = "small_cnn",
        dropout: float = 0.0,
        backbone_l2: float = 0.0,
        tastes: Literal["leave-one-out", "free"] = "free",
        **kwargs: Any,
    ) -> None:
        super().__init__(num_users=num_users, num_items=num_items, embedding_dim=embedding_dim, **kwargs)
        self.tastes = tastes
        if tastes == "leave-one-out":
            self.user_embeddings.trainable = False
            self.taste_prior = self.add_weight(name="taste_prior", shape=(embedding_dim,), initializer="zeros")
            first = keras.initializers.Constant(math.log(_FIRST_SCALE))
            self.taste_log_scale = self.add_weight(name="taste_log_scale", shape=(), initializer=first)
        if backbone not in BACKBONES:
            raise ValueError(f"`backbone` must be one of {', '.join(BACKBONES)}. Received {backbone!r}.")
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.backbone_name = backbone
        self.dropout = dropout
        self.backbone_l2 = backbone_l2
        self.backbone = BACKBONES[backbone](
            self.image_size, embedding_dim=embedding_dim, dropout=dropout, l2=backbone_l2
        )

    def embed_images(self, images: Any, *, training: bool = False) -> Any:
        """Φ(X): float32 [B, H, W, 3] in [-1, 1] to float32 [B, D]."""
        return self.backbone(images, training=training)

    def embed_visual(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """Φ of the pictures; they add nothing to the bias."""
        embeddings = self.embed_images(images, training=training)
        return embeddings, ops.zeros_like(embeddings[:, 0])

    def users_from_means(self, means: Any) -> Any:
        """θ from means of liked items, float32 [B, D], where `tastes` is "leave-one-out"."""
        return self.taste_prior + ops.exp(self.taste_log_scale) * means

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras."""
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "backbone": self.backbone_name,
            "dropout": self.dropout,
            "backbone_l2": self.backbone_l2,
            "tastes": self.tastes,
        }
