"""A CNN over pictures inside a model."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfdvbpr.models.backbones import BackboneOptions, BackboneWeights, TrunkAndHead, build_backbone
from tfdvbpr.models.recommenders.base import PairwiseRecommender


class Pictured(PairwiseRecommender):
    """Holds Φ, a CNN trained together with the rest.

    Args:
        image_size: (height, width) of Φ's input, in pixels.
        backbone: a name in BACKBONES.
        dropout: of the backbone.
        backbone_l2: λ_CNN, the weight of ½‖W‖² added by the backbone's layers.
        head_units: of a hidden layer above a pretrained trunk; see `BackboneOptions`.
        backbone_weights: what it begins with; see `BackboneOptions`.
        backbone_trainable: how much of it is trained; see `BackboneOptions`.
        **kwargs: of the recommender beside it; `embedding_dim` is the length of Φ.

    Raises:
        ConfigError: as `build_backbone`.
    """

    uses_images = True

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        backbone: str = "small_cnn",
        dropout: float = 0.0,
        backbone_l2: float = 0.0,
        head_units: int = 0,
        backbone_weights: BackboneWeights = "auto",
        backbone_trainable: str = "all",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.backbone_name = backbone
        self.backbone_options = BackboneOptions(
            embedding_dim=self.embedding_dim,
            dropout=dropout,
            l2=backbone_l2,
            head_units=head_units,
            weights=backbone_weights,
            trainable=backbone_trainable,
        )
        self.backbone = build_backbone(backbone, self.image_size, self.backbone_options)
        self._compiled: Any = None

    @property
    def frozen_trunk(self) -> keras.Model | None:
        """A trunk that is not trained and sees each picture the same way for good: pictures to float32 [B, F].

        `embed_images` takes what it saw in the place of pictures.
        """
        backbone = self.backbone
        return backbone.trunk if isinstance(backbone, TrunkAndHead) and backbone.trunk_is_frozen else None

    def embed_images(self, images: Any, *, training: bool = False) -> Any:
        """Φ(X): float32 [B, H, W, 3] in [-1, 1] to float32 [B, D]."""
        return (self._compiled or self.backbone)(images, training=training)

    def compile_network(self) -> None:
        """Has XLA compile Φ, and with it its gradient, in what is traced from now on."""
        backbone = self.backbone

        def embed(images: Any, *, training: bool) -> Any:
            return backbone(images, training=training)

        self._compiled = tf.function(embed, jit_compile=True, autograph=False)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras, which brings the weights back itself."""
        options = self.backbone_options
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "backbone": self.backbone_name,
            "dropout": options.dropout,
            "backbone_l2": options.l2,
            "head_units": options.head_units,
            "backbone_weights": "random",
            "backbone_trainable": options.trainable,
        }
