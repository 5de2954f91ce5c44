"""CNNs from pixels to embeddings: one file a backbone, one entry in BACKBONES."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import keras

from tfdvbpr.models.backbones.cnn_f import cnn_f
from tfdvbpr.models.backbones.small_cnn import small_cnn


class Backbone(Protocol):
    """Builds a model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, embedding_dim]."""

    def __call__(self, image_size: tuple[int, int], *, embedding_dim: int, dropout: float, l2: float) -> keras.Model:
        """See `cnn_f` for the arguments."""
        ...


BACKBONES: Mapping[str, Backbone] = MappingProxyType({"small_cnn": small_cnn, "cnn_f": cnn_f})
