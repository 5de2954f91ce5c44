"""The networks of the conditional GAN: one entry in GENERATORS or DISCRIMINATORS a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import keras

from tfdvbpr.models.gans.architecture import GanShape
from tfdvbpr.models.gans.conditional_generator import conditional_generator
from tfdvbpr.models.gans.discriminator import convolutional_discriminator
from tfdvbpr.models.gans.generator import dcgan_generator
from tfdvbpr.models.gans.projected_discriminator import ProjectedDiscriminator

GENERATORS: Mapping[str, Callable[[GanShape], keras.Model]] = MappingProxyType(
    {"dcgan": dcgan_generator, "conditional": conditional_generator}
)
DISCRIMINATORS: Mapping[str, Callable[[GanShape], keras.Model]] = MappingProxyType(
    {"convolutional": convolutional_discriminator, "projected": ProjectedDiscriminator}
)

__all__ = ["DISCRIMINATORS", "GENERATORS", "GanShape", "ProjectedDiscriminator"]
