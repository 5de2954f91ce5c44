"""What decides the shape of a conditional GAN; plain values, so that a run folder can tell it without loading Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class GanShape:
    """Sizes and parts of both networks, whichever they are; each takes what it has.

    Attributes:
        image_size: (height, width) in pixels, multiples of 16.
        num_categories: length of the one-hot c, or rows of its table.
        latent_dim: length of z.
        bounded: whether the generator takes tanh of its latents first.
        base_channels: width of the generator.
        upsampling: of `dcgan`.
        skip_excitation: of `conditional`: whether coarse maps weigh the channels of fine ones.
        saturation_slope: of `conditional`: added to the slope of its last tanh in gradients.
        discriminator_channels: width of the discriminator.
        batch_spread: of `convolutional`.
        trunk: of `projected`: a name in FEATURE_NETWORKS.
        trunk_zoom: of `projected`: how much larger than they are the trunk sees pictures.
        pixel_head: of `projected`: whether a further head looks at the pixels.
    """

    image_size: tuple[int, int]
    num_categories: int
    latent_dim: int
    bounded: bool = False
    base_channels: int
    upsampling: Literal["bilinear", "transposed"] = "transposed"
    skip_excitation: bool = True
    saturation_slope: float = 0.0
    discriminator_channels: int
    batch_spread: bool = False
    trunk: str = "efficientnet_lite0"
    trunk_zoom: float = 1.0
    pixel_head: bool = True
