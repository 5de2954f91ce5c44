"""Perceptual distance of two images: differences of a network's feature maps and of the pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfdvbpr.models.backbones.base import without_head

_EPSILON = 1e-8
_LEAST_CELLS = 2
_PIXEL_WEIGHT = 1.0


class PerceptualFeatures:
    """Feature maps of a convolutional network, one of each size, the channels of each cell normalised to length 1.

    Their mean squared distance follows human judgement of similarity better than that of pixels does (LPIPS, Zhang et
    al. 2018, here without its trained weights: every map counts the same).

    Args:
        network: a functional Keras model of images, float32 [B, H, W, 3] in [-1, 1]; the last map of each size
            between 2 cells and half the image is taken.
    """

    def __init__(self, network: keras.Model) -> None:
        found = feature_layers(network)
        self._size = tuple(network.input_shape[1:3])
        self._network = keras.Model(network.inputs, [layer.output for layer in found])
        self.weights = [weight.value for weight in self._network.weights]

    @classmethod
    def of_backbone(cls, backbone: keras.Model) -> PerceptualFeatures:
        """The features of a recommender's own backbone."""
        return cls(without_head(backbone))

    def __call__(self, images: Any) -> list[Any]:
        """float32 [B, h, w, C] maps, from large to small, of images float32 [B, H, W, 3], resized bilinearly."""
        if tuple(images.shape[1:3]) != self._size:
            images = tf.image.resize(images, self._size, antialias=True)
        maps = self._network(images, training=False)
        return [part * tf.math.rsqrt(tf.reduce_sum(part**2, axis=3, keepdims=True) + _EPSILON) for part in maps]

    def distance_to(self, images: Any) -> Callable[[Any], Any]:
        """A function of images, float32 [R, H, W, 3]: their distances to `images`, row by row, float32 [R] ≥ 0.

        The distance is that of the feature maps plus the mean squared difference of the pixels.
        """
        maps = self(images)
        return lambda others: feature_distances(maps, self(others)) + _PIXEL_WEIGHT * pixel_distances(images, others)


def feature_distances(first: list[Any], second: list[Any]) -> Any:
    """float32 [B]: mean over maps of the mean over cells of squared distances; 0 for equal maps, 2 for orthogonal."""
    apart = [
        tf.reduce_mean(tf.reduce_sum(tf.square(one - other), axis=3), axis=(1, 2))
        for one, other in zip(first, second, strict=True)
    ]
    return tf.add_n(apart) / len(apart)


def pixel_distances(first: Any, second: Any) -> Any:
    """float32 [B]: mean squared differences of images in [-1, 1]."""
    return tf.reduce_mean(tf.square(first - second), axis=(1, 2, 3))


def feature_layers(network: keras.Model) -> list[keras.layers.Layer]:
    """The last layer of each map size after the first convolution, from large to small; below 2 cells left out."""
    height, _ = network.input_shape[1:3]
    last: dict[tuple[int, int], keras.layers.Layer] = {}
    convolved = False
    for layer in network.layers:
        convolved = convolved or isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D))
        shape: tuple[int, ...] = tuple(getattr(layer.output, "shape", ()))
        if convolved and len(shape) == 4 and min(shape[1:3]) >= _LEAST_CELLS and shape[1] <= height // 2:
            last[(shape[1], shape[2])] = layer
    return [last[size] for size in sorted(last, reverse=True)]
