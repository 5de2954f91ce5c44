"""The generator of the category-conditional GAN: G(z, c)."""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import layers

from tfdvbpr.models.gans.architecture import GanShape

Upsampling = Literal["transposed", "bilinear"]

_STDDEV = 0.02
_BASE = 4


def build_generator(
    image_size: tuple[int, int],
    *,
    num_categories: int,
    latent_dim: int,
    base_channels: int,
    upsampling: Upsampling = "transposed",
    bounded: bool = False,
) -> keras.Model:
    """Dense to 1/16 of the picture, then 3×3 convolutions up to its size, tanh at the end.

    With transposed convolutions, `base_channels=64` and 64×64 pixels this is the authors' generator: dense 4·4·256;
    transposed convolutions to 8×8×256, 8×8×256, 16×16×256, 16×16×256, 32×32×128, 64×64×64, each with batch
    normalisation and leaky ReLU 0.2; 64×64×3 with tanh. Other sizes scale the first layer, other widths every layer.

    With bilinear upsampling each doubling is a convolution and then an interpolation, which leaves no grid in the
    picture (Odena et al. 2016) and costs less: the convolutions run at the smaller size.

    Args:
        image_size: (height, width) in pixels, multiples of 16.
        num_categories: length of the one-hot c.
        latent_dim: length of z.
        base_channels: width of the last hidden layer; the first is four times as wide.
        upsampling: "transposed" is the authors'.
        bounded: take tanh of the latents first, so that what enters stays in (-1, 1).

    Returns:
        A model from {"latents": float32 [B, latent_dim], "category_ids": int32 [B]} to float32 [B, H, W, 3] in [-1, 1].

    Raises:
        ValueError: if a side is no multiple of 16.
    """
    height, width = check_sides(image_size)
    latents = keras.Input((latent_dim,), name="latents")
    category_ids = keras.Input((), dtype="int32", name="category_ids")
    one_hot = layers.CategoryEncoding(num_categories, output_mode="one_hot")(category_ids)
    wide, middle, narrow = 4 * base_channels, 2 * base_channels, base_channels
    hidden = layers.Dense(height // 16 * (width // 16) * wide, kernel_initializer=_normal())(
        layers.Concatenate()([layers.Activation("tanh")(latents) if bounded else latents, one_hot])
    )
    hidden = _normalised(layers.Reshape((height // 16, width // 16, wide))(hidden))
    grow = _transposed if upsampling == "transposed" else _bilinear
    for filters, strides in ((wide, 2), (wide, 1), (wide, 2), (wide, 1), (middle, 2), (narrow, 2)):
        hidden = grow(hidden, filters, strides)
    last = layers.Conv2DTranspose if upsampling == "transposed" else layers.Conv2D
    images = last(3, 3, padding="same", activation="tanh", kernel_initializer=_normal(), name="images")
    return keras.Model({"latents": latents, "category_ids": category_ids}, images(hidden), name="generator")


def dcgan_generator(shape: GanShape) -> keras.Model:
    """`build_generator` of a shape."""
    return build_generator(
        shape.image_size,
        num_categories=shape.num_categories,
        latent_dim=shape.latent_dim,
        base_channels=shape.base_channels,
        upsampling=shape.upsampling,
        bounded=shape.bounded,
    )


def check_sides(image_size: tuple[int, int]) -> tuple[int, int]:
    """(height, width), of which every generator makes four halvings.

    Raises:
        ValueError: if a side is no multiple of 16.
    """
    height, width = image_size
    if height % 16 or width % 16:
        raise ValueError(f"Both sides of `image_size` must be multiples of 16. Received {height}x{width}.")
    return height, width


def _transposed(hidden: Any, filters: int, strides: int) -> Any:
    layer = layers.Conv2DTranspose(
        filters, 3, strides=strides, padding="same", use_bias=False, kernel_initializer=_normal()
    )
    return _normalised(layer(hidden))


def _bilinear(hidden: Any, filters: int, strides: int) -> Any:
    hidden = _normalised(_convolution(filters)(hidden))
    return hidden if strides == 1 else layers.UpSampling2D(strides, interpolation="bilinear")(hidden)


def _convolution(filters: int) -> layers.Layer:
    return layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer=_normal())


def _normal() -> Any:
    return keras.initializers.RandomNormal(stddev=_STDDEV)


def _normalised(hidden: Any) -> Any:
    hidden = layers.BatchNormalization(momentum=0.9, synchronized=True)(hidden)
    return layers.LeakyReLU(0.2)(hidden)
