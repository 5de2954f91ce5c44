"""What an extractor of features is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt


class FeatureExtractor(Protocol):
    """From pictures to features; nothing of it is trained here."""

    @property
    def version(self) -> int:
        """Raised whenever the same picture gets other features: features kept on a disk are then computed anew."""
        ...

    def feature_dim(self, image_size: tuple[int, int]) -> int:
        """F for pictures of (height, width) pixels, without weights being at hand."""
        ...

    def __call__(self, images_uint8: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """float32 [B, F] of uint8 [B, H, W, 3].

        Raises:
            ConfigError: if the weights it needs cannot be had.
        """
        ...
