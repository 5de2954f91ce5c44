"""Off-the-shelf features of images: one entry in FEATURE_EXTRACTORS an extractor.

`catalogue` computes the features of a dataset once and keeps them beside it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from tfdvbpr.models.backbones import FEATURE_NETWORKS
from tfdvbpr.models.features.extractors import ColourAndEdges, NetworkFeatures
from tfdvbpr.registry import Registry


class FeatureExtractor(Protocol):
    """From images to features; nothing of it is trained here."""

    @property
    def version(self) -> int:
        """Raised whenever the same image gets other features: features kept on a disk are then computed anew."""

    def feature_dim(self, image_size: tuple[int, int]) -> int:
        """F for images of (height, width) pixels; needs no weights."""

    def __call__(self, images_uint8: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """float32 [B, F] of uint8 [B, H, W, 3].

        Raises:
            ConfigError: if its weights are not installed.
        """


FEATURE_EXTRACTORS: Registry[FeatureExtractor] = Registry(
    "tfdvbpr.features",
    {"colour-and-edges": ColourAndEdges(), **{name: NetworkFeatures(name) for name in FEATURE_NETWORKS}},
)

__all__ = ["FEATURE_EXTRACTORS", "FeatureExtractor"]
