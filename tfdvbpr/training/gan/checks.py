"""What is checked of a configuration before a GAN is trained."""

from __future__ import annotations

from collections.abc import Iterator

from tfdvbpr.config import GanConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.augmentation import check_augmentation
from tfdvbpr.errors import ConfigError, check_choice
from tfdvbpr.losses.adversarial import OBJECTIVES
from tfdvbpr.models.backbones.efficientnet_lite import lite_weights_file
from tfdvbpr.models.gans.feature_pyramid import check_trunk
from tfdvbpr.models.gans.networks import DISCRIMINATORS, GENERATORS
from tfdvbpr.training.gan.categories import CategoryPlan
from tfdvbpr.training.recommender.checks import size_notes


def check_gan(config: GanConfig) -> None:
    """Refuses names that are unknown, and parts that do not go together.

    Raises:
        ConfigError: naming the field.
    """
    for field, value, known in (
        ("objective", config.objective, OBJECTIVES),
        ("generator", config.generator, GENERATORS),
        ("discriminator", config.discriminator, DISCRIMINATORS),
    ):
        check_choice(field, value, known)
    check_augmentation(config.augmentation)
    if config.discriminator == "projected":
        check_trunk(config.trunk)
        _check_weights(config.trunk)
    elif config.reconstruction_weight:
        raise ConfigError(
            "`reconstruction_weight` needs the discriminator projected, whose maps the encoder sees. "
            f"Received {config.discriminator}. Set it to 0, or `discriminator` to projected."
        )
    if config.fitted_prior and (not config.reconstruction_weight or config.latents != "gaussian"):
        raise ConfigError(
            "`fitted_prior` needs a `reconstruction_weight` above 0, for an encoder, and `latents` gaussian. "
            f"Received {config.reconstruction_weight:g} and {config.latents}. Set it to 0 to do without."
        )


def _check_weights(trunk: str) -> None:
    """Before anything is built: a GAN of another kind would not be what was asked for, so none is put in its place."""
    if trunk != "efficientnet_lite0":
        return
    try:
        lite_weights_file(trunk)
    except ConfigError as error:
        raise ConfigError(f"{error} Or take `--preset plain`, which needs none.") from None


def gan_notes(config: GanConfig, dataset: PreparedDataset, categories: CategoryPlan) -> Iterator[str]:
    """What is unusual, but no error: lines for people."""
    yield from size_notes(config, dataset)
    yield from categories.notes(config)
