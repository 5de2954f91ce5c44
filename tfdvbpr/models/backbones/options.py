"""What a backbone is told besides the size of its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import keras

BackboneWeights = Literal["auto", "imagenet", "random"]


@dataclass(frozen=True, kw_only=True)
class BackboneOptions:
    """How a backbone is built and how much of it is trained.

    Attributes:
        embedding_dim: length of Φ(x).
        dropout: rate before the last layer.
        l2: λ of the added ½λ‖W‖², on trained weights and not on biases.
        head_units: units of a hidden layer between a pretrained trunk and Φ; 0 for none. Backbones without a trunk have
            none.
        weights: "imagenet", "random", or "auto": ImageNet's where the backbone comes with them.
        trainable: how much is trained below the last layer, which always is: "all", "none", or "last:N" for the last N
            convolutions or dense layers and what follows them. Batch normalisation that is not trained stays in
            inference mode.
    """

    embedding_dim: int
    dropout: float = 0.0
    l2: float = 0.0
    head_units: int = 0
    weights: BackboneWeights = "auto"
    trainable: str = "all"


class Backbone(Protocol):
    """Builds a model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, embedding_dim]."""

    def __call__(self, image_size: tuple[int, int], options: BackboneOptions) -> keras.Model:
        """Builds it for pictures of (height, width) pixels.

        Raises:
            ConfigError: if it cannot see pictures so small, or the weights cannot be had.
        """
        ...
