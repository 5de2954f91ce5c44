"""The configuration of an upscaler."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfdvbpr.config.base import TrainingConfig, option, resolve_config
from tfdvbpr.config.gan import GanConfig


class UpscalerConfig(TrainingConfig):
    """Configuration of an upscaler, which doubles the height and width of a GAN's images."""

    base_channels: int = option("networks", 24, "Width of the upscaler at the double size.", ge=3)
    discriminator_channels: int = option("networks", 64, "Width of the discriminator.", ge=4)
    pull_weight: float = option(
        "losses", 10.0, "Weight of the distance between a photo and its reduced copy, enlarged again.", gt=0
    )
    kept_weight: float = option(
        "losses", 10.0, "Weight of the difference between a small image and the large one, both reduced.", ge=0
    )
    softness: float = option(
        "data",
        1.0,
        "The most that a photo's reduced copy is blurred, since generated images are softer; 1 is σ = 1 px.",
        ge=0,
        le=1,
    )
    warmup: float = option("losses", 0.1, "Share of the steps without a discriminator.", ge=0, le=1)
    steps: int = option("optimizer", 2000, "Steps of training.", ge=1)
    global_batch_size: int = option("data", 16, "Images a step, over all replicas.", ge=2)
    learning_rate: float = option("optimizer", 5e-4, "Adam's step size of the upscaler.", gt=0)
    discriminator_learning_rate: float = option("optimizer", 2e-4, "Adam's step size of the discriminator.", gt=0)
    final_learning_rate: float = option("optimizer", 0.1, "Fraction left at the end of a cosine decay.", ge=0, le=1)
    average_decay: float = option("optimizer", 0.998, "Decay of the averaged upscaler that the run keeps.", ge=0, lt=1)

    def as_gan(self, small: GanConfig) -> GanConfig:
        """The configuration of a GAN's training that has the upscaler as its generator.

        The discriminator is of the small GAN's kind, and categories are sampled as for it.
        """
        own = {name: value for name, value in dict(self).items() if name in GanConfig.model_fields}
        return small.model_copy(
            update={
                **own,
                "pull": "positions",
                "flip": True,
                "objective": "hinge",
                "augmentation": ("translation", "cutout"),
            }
        )


def upscaler_config(*, file: Path | None = None, overrides: Sequence[str] = (), **values: object) -> UpscalerConfig:
    """The configuration of an upscaler: defaults, then keyword values, `file` and "key=value" strings.

    Raises:
        ConfigError: as `resolve_config`.
    """
    return resolve_config(UpscalerConfig, defaults=values, file=file, overrides=overrides)
