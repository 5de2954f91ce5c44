"""The discriminator of the category-conditional GAN: D(x, c)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

_STDDEV = 0.02


def build_discriminator(image_size: tuple[int, int], *, num_categories: int, base_channels: int) -> keras.Model:
    """Four convolutions 5×5 of stride 2, with c as constant maps beside the picture and the first two hidden maps.

    With `base_channels=64` this is the authors' discriminator: 64 (no normalisation), 128, 256, 512 filters, leaky ReLU
    0.2, one dense logit.

    Args:
        image_size: (height, width) in pixels, multiples of 16.
        num_categories: number of constant maps.
        base_channels: filters of the first convolution; each further one doubles them.

    Returns:
        A model from {"images": float32 [B, H, W, 3] in [-1, 1], "category_ids": int32 [B]} to logits float32 [B].
    """
    images = keras.Input((*image_size, 3), name="images")
    category_ids = keras.Input((), dtype="int32", name="category_ids")
    one_hot = layers.CategoryEncoding(num_categories, output_mode="one_hot")(category_ids)
    hidden = images
    for number in range(4):
        if number < 3:
            hidden = _with_maps(hidden, one_hot)
        hidden = layers.Conv2D(
            base_channels * 2**number,
            5,
            strides=2,
            padding="same",
            kernel_initializer=keras.initializers.RandomNormal(stddev=_STDDEV),
        )(hidden)
        if number:
            hidden = layers.BatchNormalization(momentum=0.9, synchronized=True)(hidden)
        hidden = layers.LeakyReLU(0.2)(hidden)
    logits = layers.Dense(1, kernel_initializer=keras.initializers.RandomNormal(stddev=_STDDEV))(
        layers.Flatten()(hidden)
    )
    logits = layers.Reshape((), name="logits")(logits)
    return keras.Model({"images": images, "category_ids": category_ids}, logits, name="discriminator")


def _with_maps(hidden: Any, one_hot: Any) -> Any:
    """Appends c as maps that are constant over the picture."""
    height, width = hidden.shape[1:3]
    categories = one_hot.shape[-1]
    maps = layers.Reshape((height, width, categories))(layers.RepeatVector(height * width)(one_hot))
    return layers.Concatenate()([hidden, maps])
