"""The configuration of a conditional GAN and its presets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tfdvbpr.config.base import TrainingConfig, resolve_config
from tfdvbpr.errors import check_choice

SmallCategories = Literal["refuse", "merge", "leave-out"]

_NETWORKS: dict[str, Any] = {"group": "networks"}
_LOSSES: dict[str, Any] = {"group": "losses"}
_DATA: dict[str, Any] = {"group": "data"}
_OPTIMIZER: dict[str, Any] = {"group": "optimizer"}
_OUTPUT: dict[str, Any] = {"group": "output"}


class GanConfig(TrainingConfig):
    """Configuration of a conditional GAN run.

    The defaults here are those of the preset `plain`, which needs nothing but TensorFlow; `gan_config` starts from the
    preset `default`.
    """

    generator: str = Field(
        "dcgan",
        json_schema_extra=_NETWORKS,
        description="A name in GENERATORS: dcgan, dcgan_transposed (the paper's), or conditional (every layer is "
        "modulated by category and latents).",
    )
    discriminator: str = Field(
        "convolutional",
        json_schema_extra=_NETWORKS,
        description="A name in DISCRIMINATORS: convolutional, convolutional_paper (without batch spread), or projected "
        "(heads on a frozen ImageNet network).",
    )
    latent_dim: int = Field(
        128, ge=1, json_schema_extra=_NETWORKS, description="Length of z ~ N(0, I); the paper's code has 256."
    )
    base_channels: int = Field(
        32, ge=4, json_schema_extra=_NETWORKS, description="Width of the generator; the paper's code has 64."
    )
    discriminator_channels: int = Field(
        32, ge=4, json_schema_extra=_NETWORKS, description="Width of the discriminator; the paper's code has 64."
    )
    objective: str = Field(
        "lsgan", json_schema_extra=_LOSSES, description="A name in OBJECTIVES: lsgan (the paper's) or hinge."
    )
    mismatch_weight: float = Field(
        0.0,
        ge=0,
        lt=1,
        json_schema_extra=_LOSSES,
        description="Share of real images with a wrong category in the discriminator's fake term; the rest are "
        "generated images.",
    )
    variety_weight: float = Field(
        0.0,
        ge=0,
        json_schema_extra=_LOSSES,
        description="Weight of a generator loss that falls as two generated images of a category differ as much in "
        "colour as two photos of it do; against ignoring z.",
    )
    augmentation: tuple[str, ...] = Field(
        (),
        json_schema_extra=_DATA,
        description="Names in AUGMENTATIONS, applied to real and generated images before the discriminator: "
        "translation, cutout, colour.",
    )
    flip: bool = Field(True, json_schema_extra=_DATA, description="Mirror real images at random.")
    category_power: float = Field(
        1.0,
        ge=0,
        le=1,
        json_schema_extra=_DATA,
        description="Categories are sampled in proportion to (their images)^power: 1 as they come, 0 all equally.",
    )
    min_category_images: int = Field(
        1, ge=1, json_schema_extra=_DATA, description="A category with fewer images is small."
    )
    small_categories: SmallCategories = Field(
        "refuse",
        json_schema_extra=_DATA,
        description="What to do with small categories: refuse (an error), merge (into one), or leave-out.",
    )
    global_batch_size: int = Field(
        32, ge=2, json_schema_extra=_DATA, description="Images a step, over all replicas; the paper's code has 16."
    )
    learning_rate: float = Field(
        2e-4,
        gt=0,
        json_schema_extra=_OPTIMIZER,
        description="Adam's step size of the generator; the paper's code has 1e-4.",
    )
    discriminator_learning_rate: float = Field(
        2e-4, gt=0, json_schema_extra=_OPTIMIZER, description="Adam's step size of the discriminator."
    )
    final_learning_rate: float = Field(
        0.1,
        ge=0,
        le=1,
        json_schema_extra=_OPTIMIZER,
        description="Fraction left at the end of a cosine decay; 1 is none, as in the paper's code.",
    )
    beta_1: float = Field(0.5, ge=0, lt=1, json_schema_extra=_OPTIMIZER, description="Adam's β₁; β₂ is 0.99.")
    adam_epsilon: float = Field(
        1e-7, gt=0, json_schema_extra=_OPTIMIZER, description="Adam's ε; the authors' code has 1e-8."
    )
    average_decay: float = Field(
        0.995,
        ge=0,
        lt=1,
        json_schema_extra=_OPTIMIZER,
        description="Decay of the averaged generator, min(decay, (1 + t)/(10 + t)) at step t, which the run keeps; 0 "
        "keeps the last weights.",
    )
    sample_every: int = Field(
        1,
        ge=0,
        json_schema_extra=_OUTPUT,
        description="Epochs between sample grids in the run folder, from the same latents each time; 0 for none.",
    )


# The authors' GAN; docs/guides/gan.md goes through it line by line.
_PAPER_GAN: Mapping[str, Any] = {
    "generator": "dcgan_transposed",
    "discriminator": "convolutional_paper",
    "latent_dim": 256,
    "base_channels": 64,
    "discriminator_channels": 64,
    "global_batch_size": 16,
    "learning_rate": 1e-4,
    "discriminator_learning_rate": 1e-4,
    "final_learning_rate": 1.0,
    "adam_epsilon": 1e-8,
    "average_decay": 0.0,
    "flip": False,
    "epochs": 50,
}
_PROJECTED_GAN: Mapping[str, Any] = {
    "objective": "hinge",
    "generator": "conditional",
    "discriminator": "projected",
    "discriminator_channels": 64,
    "mismatch_weight": 0.3,
    "variety_weight": 1.0,
    "augmentation": ("translation", "cutout"),
    "category_power": 0.5,
    "min_category_images": 20,
    "small_categories": "leave-out",
    "beta_1": 0.0,
    "average_decay": 0.998,
    "epochs": 30,
}
GAN_PRESETS: Mapping[str, Mapping[str, Any]] = {"default": _PROJECTED_GAN, "plain": {}, "paper": _PAPER_GAN}


def gan_config(
    preset: str | None = None, *, file: Path | None = None, overrides: Sequence[str] = (), **values: Any
) -> GanConfig:
    """The configuration of a conditional GAN: a preset, then keyword values, `file` and `overrides`.

    Args:
        preset: a name in GAN_PRESETS: "default" (also when left out) for the best images for the compute, "plain" for
            networks that need no pretrained weights, "paper" for the authors' networks and numbers.
        file: YAML mapping of field names to values.
        overrides: "key=value" strings.
        **values: fields by name.

    Raises:
        ConfigError: as `resolve_config`, or if the preset is unknown.
    """
    name = preset or "default"
    check_choice("preset", name, GAN_PRESETS)
    return resolve_config(GanConfig, defaults={**GAN_PRESETS[name], **values}, file=file, overrides=overrides)
