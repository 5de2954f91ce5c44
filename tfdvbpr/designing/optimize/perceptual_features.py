"""How far apart two pictures look: differences of a network's maps and of the pixels."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfdvbpr.models.backbones import FEATURE_NETWORKS
from tfdvbpr.models.backbones.base import without_head

_EPSILON = 1e-8
_LEAST_CELLS = 2
BACKBONE = "backbone"


class Perception:
    """The maps of a convolutional network, one of each size, each cell's channels brought to length 1.

    The mean squared distance of such maps follows what people call alike better than pixels do (Zhang et al. 2018,
    LPIPS, here without their learnt weights: every map counts the same).

    Args:
        network: a functional Keras model of pictures, float32 [B, H, W, 3] in [-1, 1]; the last map of each size
            between 2 cells and half the picture is taken.
        image_size: what pictures are brought to, by bilinear interpolation, if they differ.
    """

    def __init__(self, network: keras.Model) -> None:
        found = maps_of(network)
        self._size = tuple(network.input_shape[1:3])
        self._network = keras.Model(network.inputs, [layer.output for layer in found])
        self.weights = [weight.value for weight in self._network.weights]

    @classmethod
    def of(cls, name: str, *, backbone: keras.Model, image_size: tuple[int, int]) -> Perception:
        """The perception of "backbone", the recommender's own, or of a trunk with ImageNet weights by its name.

        Args:
            name: "backbone", "efficientnet_lite0", or another name in FEATURE_NETWORKS.
            backbone: of the recommender.
            image_size: of the pictures, for a trunk.

        Raises:
            ConfigError: if the trunk's weights cannot be had, or the pictures are too small for it.
        """
        if name != BACKBONE:
            return cls(FEATURE_NETWORKS[name](image_size, imagenet=True))
        return cls(without_head(backbone))

    def __call__(self, images: Any) -> list[Any]:
        """float32 [B, h, w, C] maps, from large to small, of pictures float32 [B, H, W, 3]."""
        if tuple(images.shape[1:3]) != self._size:
            images = tf.image.resize(images, self._size, antialias=True)
        maps = self._network(images, training=False)
        return [part * tf.math.rsqrt(tf.reduce_sum(part**2, axis=3, keepdims=True) + _EPSILON) for part in maps]


def distances(first: list[Any], second: list[Any]) -> Any:
    """float32 [B]: the mean over maps of the mean over cells of squared distances; 0 is alike, 2 nothing in common."""
    apart = [
        tf.reduce_mean(tf.reduce_sum(tf.square(one - other), axis=3), axis=(1, 2))
        for one, other in zip(first, second, strict=True)
    ]
    return tf.add_n(apart) / len(apart)


def pixel_distances(first: Any, second: Any) -> Any:
    """float32 [B]: mean squared differences of pictures in [-1, 1]."""
    return tf.reduce_mean(tf.square(first - second), axis=(1, 2, 3))


def maps_of(network: keras.Model) -> list[keras.layers.Layer]:
    """The last layer of each size of map, from large to small; the picture itself, and what is below 2 cells, left out.

    Only what comes after a first convolution counts.
    """
    height, _ = network.input_shape[1:3]
    last: dict[tuple[int, int], keras.layers.Layer] = {}
    learnt = False
    for layer in network.layers:
        learnt = learnt or isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D))
        shape: tuple[int, ...] = tuple(getattr(layer.output, "shape", ()))
        if learnt and len(shape) == 4 and min(shape[1:3]) >= _LEAST_CELLS and shape[1] <= height // 2:
            last[(shape[1], shape[2])] = layer
    return [last[size] for size in sorted(last, reverse=True)]
