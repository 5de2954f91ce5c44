"""The network that doubles the height and width of a generator's images."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from tfdvbpr.models.gans.layers import leaky_relu

SCALE = 2
_BLOCKS = 3
_SLOPE = 0.2


class Upscaler(keras.Model):
    """Maps {"images": float32 [B, h, w, 3] in [-1, 1], "category_ids": int32 [B]} to images float32 [B, 2h, 2w, 3].

    The image is enlarged by bilinear interpolation, and a network adds what is missing: residual blocks of 3×3
    convolutions at half of the image's size, where each sees most of the image, two convolutions at the image's own
    size, and two at the double. The category offsets the channels of each block. No normalisation: an
    image does not depend on its neighbours in a batch. At first the last layer adds nothing.

    Args:
        image_size: (h, w) in pixels, multiples of 2.
        num_categories: number of values of c.
        base_channels: width at the double size; the others are 1 1/3 and 2 2/3 times as wide.
    """

    def __init__(self, image_size: tuple[int, int], *, num_categories: int, base_channels: int) -> None:
        images = keras.Input((*image_size, 3), name="images")
        category_ids = keras.Input((), dtype="int32", name="category_ids")
        narrow, middle, wide = base_channels, base_channels * 4 // 3, base_channels * 8 // 3
        fine = leaky_relu(_convolution(middle)(images), _SLOPE)
        hidden = leaky_relu(_convolution(wide, strides=2)(fine), _SLOPE)
        for _ in range(_BLOCKS):
            hidden = _block(hidden, category_ids, num_categories)
        hidden = layers.UpSampling2D(SCALE, interpolation="bilinear")(_convolution(middle)(hidden))
        hidden = _block(fine + hidden, category_ids, num_categories)
        hidden = layers.UpSampling2D(SCALE, interpolation="bilinear")(_convolution(narrow)(hidden))
        hidden = leaky_relu(_convolution(narrow)(leaky_relu(hidden, _SLOPE)), _SLOPE)
        details = layers.Conv2D(3, 3, padding="same", kernel_initializer="zeros", name="details")(hidden)
        large = layers.UpSampling2D(SCALE, interpolation="bilinear")(images)
        super().__init__(
            {"images": images, "category_ids": category_ids}, ops.clip(large + details, -1.0, 1.0), name="upscaler"
        )


def _block(hidden: Any, category_ids: Any, num_categories: int) -> Any:
    """x + convolution(leaky(convolution(leaky(x)) + offset of the category))."""
    width = hidden.shape[-1]
    offsets = layers.Embedding(num_categories, width, embeddings_initializer="zeros")(category_ids)
    inner = _convolution(width)(leaky_relu(hidden, _SLOPE)) + layers.Reshape((1, 1, width))(offsets)
    return hidden + _convolution(width, gain=0.1)(leaky_relu(inner, _SLOPE))


def _convolution(filters: int, *, strides: int = 1, gain: float = 2.0) -> layers.Layer:
    weights = keras.initializers.VarianceScaling(gain, mode="fan_in", distribution="truncated_normal")
    return layers.Conv2D(filters, 3, strides=strides, padding="same", kernel_initializer=weights)
