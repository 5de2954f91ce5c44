"""The networks of the conditional GAN: GENERATORS and DISCRIMINATORS map names to classes.

`generators` holds G(z, c); `discriminator` the base class and D(x, c) of convolutions; `projected_discriminator` heads
on a frozen pretrained backbone; `layers` what they are built of; `logit_scale` their logits on LSGAN's scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tfdvbpr.config import GanConfig
from tfdvbpr.models.gans.discriminator import ConvolutionalDiscriminator, Discriminator, PaperConvolutionalDiscriminator
from tfdvbpr.models.gans.generators import ConditionalGenerator, DcganGenerator, Generator, TransposedDcganGenerator
from tfdvbpr.models.gans.projected_discriminator import ProjectedDiscriminator

GENERATORS: Mapping[str, type[Generator]] = MappingProxyType(
    {"dcgan": DcganGenerator, "dcgan_transposed": TransposedDcganGenerator, "conditional": ConditionalGenerator}
)
DISCRIMINATORS: Mapping[str, type[Discriminator]] = MappingProxyType(
    {
        "convolutional": ConvolutionalDiscriminator,
        "convolutional_paper": PaperConvolutionalDiscriminator,
        "projected": ProjectedDiscriminator,
    }
)


def build_generator(config: GanConfig, image_size: tuple[int, int], num_categories: int) -> Generator:
    """The generator that a configuration names, with random weights.

    Raises:
        ValueError: if a side of `image_size`, (height, width) in pixels, is no multiple of 16.
    """
    return GENERATORS[config.generator](
        image_size, num_categories=num_categories, latent_dim=config.latent_dim, base_channels=config.base_channels
    )


def build_discriminator(config: GanConfig, image_size: tuple[int, int], num_categories: int) -> Discriminator:
    """The discriminator that a configuration names, with random weights but for a pretrained backbone's.

    Raises:
        ConfigError: if the weights of its pretrained backbone are unavailable.
    """
    return DISCRIMINATORS[config.discriminator](
        image_size, num_categories=num_categories, base_channels=config.discriminator_channels
    )


__all__ = ["DISCRIMINATORS", "GENERATORS", "Discriminator", "Generator", "build_discriminator", "build_generator"]
