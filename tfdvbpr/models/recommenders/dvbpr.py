"""DVBPR: x̂_ui = θ_uᵀ Φ(X_i), with Φ a CNN trained together with θ; by choice a bias and factors beside it."""

from __future__ import annotations

import math
from typing import Any, Literal

import keras
from keras import ops

from tfdvbpr.models.recommenders.base import VisualRecommender
from tfdvbpr.models.recommenders.pictured import Pictured

_FIRST_SCALE = 0.1


@keras.saving.register_keras_serializable(package="tfdvbpr")
class DVBPR(Pictured, VisualRecommender):
    """Deep visual BPR, Kang et al. 2017: no item bias and no non-visual item factor, unless they are asked for.

    Takes the arguments of `Pictured` and `VisualRecommender` beside its own.

    Args:
        tastes: "free": θ is trained, as in the paper. "leave-one-out": θ_u = prior + scale · mean of the items u
            acted on; prior and scale are trained, θ is filled in from the means.
        **kwargs: `embedding_dim` is K, the length of θ_u and Φ(X).
    """

    def __init__(self, *, tastes: Literal["leave-one-out", "free"] = "free", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tastes = tastes
        if tastes == "leave-one-out":
            self.user_embeddings.trainable = False
            self.taste_prior = self.add_weight(name="taste_prior", shape=(self.embedding_dim,), initializer="zeros")
            first = keras.initializers.Constant(math.log(_FIRST_SCALE))
            self.taste_log_scale = self.add_weight(name="taste_log_scale", shape=(), initializer=first)

    def embed_visual(self, item_ids: Any, images: Any, *, training: bool) -> tuple[Any, Any]:
        """Φ of the pictures; they add nothing to the bias."""
        embeddings = self.embed_images(images, training=training)
        return embeddings, ops.zeros_like(embeddings[:, 0])

    def users_from_means(self, means: Any) -> Any:
        """θ from means of liked items, float32 [B, D], where `tastes` is "leave-one-out"."""
        return self.taste_prior + ops.exp(self.taste_log_scale) * means

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras."""
        return {**super().get_config(), "tastes": self.tastes}
