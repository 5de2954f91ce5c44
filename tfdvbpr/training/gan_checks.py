"""What is checked of a configuration before a GAN is trained."""

from __future__ import annotations

from collections.abc import Iterator

from tfdvbpr.config import GanConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError
from tfdvbpr.losses.adversarial import OBJECTIVES
from tfdvbpr.models.backbones.efficientnet_lite0 import weights_file
from tfdvbpr.models.gan import DISCRIMINATORS, GENERATORS
from tfdvbpr.models.trunk_levels import check_trunk
from tfdvbpr.training.augmentation import check_augmentation
from tfdvbpr.training.categories import CategoryPlan


def check_gan(config: GanConfig) -> None:
    """Refuses names that are unknown.

    Raises:
        ConfigError: naming the field.
    """
    for field, value, known in (
        ("objective", config.objective, OBJECTIVES),
        ("generator", config.generator, GENERATORS),
        ("discriminator", config.discriminator, DISCRIMINATORS),
    ):
        if value not in known:
            raise ConfigError(f"`{field}` must be one of {', '.join(known)}. Received {value!r}.")
    check_augmentation(config.augmentation)
    if config.discriminator == "projected":
        check_trunk(config.trunk)
        _check_weights(config.trunk)


def _check_weights(trunk: str) -> None:
    """Before anything is built: a GAN of another kind would not be what was asked for, so none is put in its place."""
    if trunk != "efficientnet_lite0":
        return
    try:
        weights_file()
    except ConfigError as error:
        raise ConfigError(f"{error} Or take `--preset plain`, which needs none.") from None


def gan_notes(config: GanConfig, dataset: PreparedDataset, categories: CategoryPlan) -> Iterator[str]:
    """What is unusual, but no error: lines for people."""
    wanted, there = config.intended_image_size, dataset.manifest.image_size
    if wanted is not None and tuple(wanted) != tuple(there):
        yield (
            f"Warning: the configuration is meant for pictures of {wanted[0]}x{wanted[1]}. The dataset has "
            f"{there[0]}x{there[1]}, which are used. Prepare it with --image-size {wanted[0]}x{wanted[1]} otherwise."
        )
    yield from categories.notes(config)
