"""Generators of the category-conditional GAN, G(z, c): DCGAN's, the authors', and one modulated in every layer."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import layers

from tfdvbpr.models.gans.layers import ConditionalNormalization, leaky_relu

_STDDEV = 0.02
_WIDTHS = (8, 8, 4, 2, 1)
_CATEGORY_DIM, _STYLE_DIM, _STYLE_LAYERS = 64, 128, 2


class Generator(keras.Model):
    """Maps {"latents": float32 [B, latent_dim], "category_ids": int32 [B]} to images float32 [B, H, W, 3] in [-1, 1].

    Args:
        image_size: (height, width) in pixels, multiples of 16.
        num_categories: number of values of c.
        latent_dim: length of z ~ N(0, I).
        base_channels: width at full size, from which the widths at smaller sizes follow.

    Attributes:
        intended_image_size: (height, width) that the layers were designed for; None where any size is as good.

    Raises:
        ValueError: if a side is no multiple of 16.
    """

    intended_image_size: ClassVar[tuple[int, int] | None] = None

    def __init__(
        self, image_size: tuple[int, int], *, num_categories: int, latent_dim: int, base_channels: int
    ) -> None:
        height, width = image_size
        if height % 16 or width % 16:
            raise ValueError(f"Both sides of `image_size` must be multiples of 16. Received {height}x{width}.")
        latents = keras.Input((latent_dim,), name="latents")
        category_ids = keras.Input((), dtype="int32", name="category_ids")
        images = self.images(latents, category_ids, (height // 16, width // 16), num_categories, base_channels)
        super().__init__({"latents": latents, "category_ids": category_ids}, images, name="generator")

    def images(
        self, latents: Any, category_ids: Any, coarse_size: tuple[int, int], num_categories: int, base_channels: int
    ) -> Any:
        """Builds the layers: symbolic z and c to symbolic images, sixteen times as large as `coarse_size`."""
        raise NotImplementedError


class DcganGenerator(Generator):
    """Dense to 1/16 of the image, then 3×3 convolutions, each doubling followed by a bilinear interpolation; tanh.

    As `TransposedDcganGenerator`, but an interpolation leaves no grid in the image (Odena et al. 2016) and costs less:
    the convolutions run at the smaller size.
    """

    last_layer: ClassVar[type[layers.Layer]] = layers.Conv2D

    def images(
        self, latents: Any, category_ids: Any, coarse_size: tuple[int, int], num_categories: int, base_channels: int
    ) -> Any:
        """See `Generator.images`."""
        one_hot = layers.CategoryEncoding(num_categories, output_mode="one_hot")(category_ids)
        wide, middle, narrow = 4 * base_channels, 2 * base_channels, base_channels
        coarse = (*coarse_size, wide)
        hidden = layers.Dense(coarse[0] * coarse[1] * wide, kernel_initializer=_normal())(
            layers.Concatenate()([latents, one_hot])
        )
        hidden = _normalized(layers.Reshape(coarse)(hidden))
        for filters, strides in ((wide, 2), (wide, 1), (wide, 2), (wide, 1), (middle, 2), (narrow, 2)):
            hidden = self.enlarged(hidden, filters, strides)
        last = self.last_layer(3, 3, padding="same", activation="tanh", kernel_initializer=_normal(), name="images")
        return last(hidden)

    def enlarged(self, hidden: Any, filters: int, strides: int) -> Any:
        """Builds one convolution with its normalisation, and the growth by `strides`, 1 or 2."""
        hidden = _normalized(_convolution(layers.Conv2D, filters, _normal())(hidden))
        return hidden if strides == 1 else layers.UpSampling2D(strides, interpolation="bilinear")(hidden)


class TransposedDcganGenerator(DcganGenerator):
    """The authors' DVBPR generator: a dense layer, then transposed convolutions 3×3.

    With `base_channels=64` and 64×64 pixels: dense 4·4·256; transposed convolutions to 8×8×256, 8×8×256, 16×16×256,
    16×16×256, 32×32×128, 64×64×64, each with batch normalisation and leaky ReLU 0.2; 64×64×3 with tanh. Other sizes
    scale the first layer, other widths every layer.
    """

    intended_image_size = (64, 64)
    last_layer = layers.Conv2DTranspose

    def enlarged(self, hidden: Any, filters: int, strides: int) -> Any:
        """See `DcganGenerator.enlarged`."""
        return _normalized(_convolution(layers.Conv2DTranspose, filters, _normal(), strides=strides)(hidden))


class ConditionalGenerator(Generator):
    """Four doublings from 1/16 of the image, every layer modulated by a style that is made of z and c.

    The style is two dense layers over z and a vector of c. A doubling is a convolution at the smaller size, an
    interpolation and a convolution at the larger one, both 3×3, each with `ConditionalNormalization` and leaky ReLU:
    nothing in it treats even and odd pixels differently, so it leaves no grid (Odena et al. 2016). The maps of 1/16 and
    1/8 weigh the channels of those of 1/2 and 1/1 (skip-layer excitation, Liu et al. 2021, FastGAN). The width doubles
    with each halving of the size, up to eight times.
    """

    def images(
        self, latents: Any, category_ids: Any, coarse_size: tuple[int, int], num_categories: int, base_channels: int
    ) -> Any:
        """See `Generator.images`."""
        normal = keras.initializers.RandomNormal(stddev=1.0)
        embedded = layers.Embedding(num_categories, _CATEGORY_DIM, embeddings_initializer=normal)(category_ids)
        both = layers.Concatenate()([latents, embedded])
        style = both
        for _ in range(_STYLE_LAYERS):
            style = layers.LeakyReLU(0.2)(layers.Dense(_STYLE_DIM, kernel_initializer="he_normal")(style))
        widths = [base_channels * factor for factor in _WIDTHS]
        coarse = (*coarse_size, widths[0])
        hidden = layers.Dense(coarse[0] * coarse[1] * widths[0])(both)
        hidden = _modulated(layers.Reshape(coarse)(hidden), style)
        earlier = [hidden]
        for number, filters in enumerate(widths[1:]):
            hidden = _modulated(_convolution(layers.Conv2D, filters, "he_normal")(hidden), style)
            hidden = layers.UpSampling2D(2, interpolation="bilinear")(hidden)
            hidden = _modulated(_convolution(layers.Conv2D, filters, "he_normal")(hidden), style)
            if number >= 2:
                hidden = _excited(hidden, earlier[number - 2])
            earlier.append(hidden)
        return layers.Conv2D(3, 3, padding="same", activation="tanh", name="images")(hidden)


def _normal() -> Any:
    return keras.initializers.RandomNormal(stddev=_STDDEV)


def _convolution(kind: Any, filters: int, initializer: Any, strides: int = 1) -> Any:
    return kind(filters, 3, strides=strides, padding="same", use_bias=False, kernel_initializer=initializer)


def _normalized(hidden: Any) -> Any:
    return layers.LeakyReLU(0.2)(layers.BatchNormalization(momentum=0.9, synchronized=True)(hidden))


def _modulated(hidden: Any, style: Any) -> Any:
    return layers.LeakyReLU(0.2)(ConditionalNormalization()([hidden, style]))


def _excited(fine: Any, coarse: Any) -> Any:
    """Channels of the fine map, weighed in (0, 2) by the coarse one."""
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(coarse)
    hidden = leaky_relu(layers.Conv2D(fine.shape[-1], 1)(pooled), 0.1)
    return fine * (2.0 * layers.Conv2D(fine.shape[-1], 1, activation="sigmoid")(hidden))
