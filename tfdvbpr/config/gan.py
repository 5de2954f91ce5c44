"""The configuration of a conditional GAN and its presets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tfdvbpr.config.base import TrainingConfig, given_fields, option, resolve_config
from tfdvbpr.errors import check_choice

SmallCategories = Literal["refuse", "merge", "leave-out"]


class GanConfig(TrainingConfig):
    """Configuration of a conditional GAN run.

    The defaults here are those of the preset `plain`, which needs nothing but TensorFlow; `gan_config` starts from the
    preset `default`.
    """

    generator: str = option(
        "networks",
        "dcgan",
        "A name in GENERATORS, such as dcgan, dcgan_transposed (the paper's), or conditional (every layer is modulated "
        "by category and latents).",
    )
    discriminator: str = option(
        "networks",
        "convolutional",
        "A name in DISCRIMINATORS, such as convolutional, convolutional_paper (without batch spread), or projected "
        "(heads on a frozen ImageNet network).",
    )
    latent_dim: int = option("networks", 128, "Length of z ~ N(0, I); the paper's code has 256.", ge=1)
    base_channels: int = option("networks", 32, "Width of the generator; the paper's code has 64.", ge=4)
    discriminator_channels: int = option("networks", 32, "Width of the discriminator; the paper's code has 64.", ge=4)
    objective: str = option("losses", "lsgan", "A name in OBJECTIVES, such as lsgan (the paper's) or hinge.")
    mismatch_weight: float = option(
        "losses",
        0.0,
        "Share of real images with a wrong category in the discriminator's fake term; the rest are generated images.",
        ge=0,
        lt=1,
    )
    adversarial_weight: float = option("losses", 1.0, "Weight of the generator's loss by the discriminator.", ge=0)
    pull_weight: float = option(
        "losses",
        0.0,
        "Weight of the distance between each photo and the sample that is pulled toward it, the nearest of a pool from "
        "the prior (RS-IMLE); against leaving out what photos show. 0 for none.",
        ge=0,
    )
    pull: Literal["positions", "textures"] = option(
        "losses",
        "positions",
        "What the distance compares: features at each position, or textures, whose details may be elsewhere.",
    )
    pool_rejection: float = option(
        "losses",
        0.15,
        "Samples of the pool are left alone within a distance of any photo, this quantile of the photos' distances to "
        "their nearest samples; 0 leaves none alone.",
        ge=0,
        lt=1,
    )
    warmup: float = option("losses", 0.0, "Share of the steps in which the generator is pulled alone.", ge=0, le=1)
    component_share: float = option(
        "losses",
        0.5,
        "Share of the photos that after the warm-up keep their principal components as latents; the rest get those of "
        "their nearest samples.",
        ge=0,
        le=1,
    )
    match: Literal["features", "pixels"] = option(
        "losses", "features", "What photos and the pool's samples are compared by: features beside thumbnails, or not."
    )
    augmentation: tuple[str, ...] = option(
        "data", (), "Names in AUGMENTATIONS, applied to real and generated images before the discriminator."
    )
    flip: bool = option("data", True, "Mirror real images at random.")
    category_power: float = option(
        "data", 1.0, "Categories are sampled in proportion to (their images)^power: 1 as they come, 0 all equally.",
        ge=0, le=1,
    )  # fmt: skip
    min_category_images: int = option("data", 1, "A category with fewer images is small.", ge=1)
    small_categories: SmallCategories = option(
        "data", "refuse", "What to do with small categories: refuse (an error), merge (into one), or leave-out."
    )
    steps: int = option("optimizer", 0, "Steps of training; 0 for as many as `epochs` have.", ge=0)
    global_batch_size: int = option("data", 32, "Images a step, over all replicas; the paper's code has 16.", ge=2)
    learning_rate: float = option(
        "optimizer", 2e-4, "Adam's step size of the generator; the paper's code has 1e-4.", gt=0
    )
    discriminator_learning_rate: float = option("optimizer", 2e-4, "Adam's step size of the discriminator.", gt=0)
    final_learning_rate: float = option(
        "optimizer", 0.1, "Fraction left at the end of a cosine decay; 1 is none, as in the paper's code.", ge=0, le=1
    )
    beta_1: float = option("optimizer", 0.5, "Adam's β₁; β₂ is 0.99.", ge=0, lt=1)
    adam_epsilon: float = option("optimizer", 1e-7, "Adam's ε; the authors' code has 1e-8.", gt=0)
    average_decay: float = option(
        "optimizer",
        0.995,
        "Decay of the averaged generator that the run keeps, min(decay, (1 + t)/(10 + t)) at step t; 0 keeps the last.",
        ge=0,
        lt=1,
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
    "latent_dim": 64,
    "pull_weight": 10.0,
    "warmup": 0.3,
    "augmentation": ("translation", "cutout"),
    "flip": False,
    "category_power": 0.5,
    "min_category_images": 20,
    "small_categories": "leave-out",
    "learning_rate": 1e-3,
    "average_decay": 0.998,
    "steps": 7000,
}
GAN_PRESETS: Mapping[str, Mapping[str, Any]] = {"default": _PROJECTED_GAN, "plain": {}, "paper": _PAPER_GAN}


def gan_config(
    preset: str | None = None, *, file: Path | None = None, overrides: Sequence[str] = (), **values: Any
) -> GanConfig:
    """The configuration of a conditional GAN: a preset, then keyword values, `file` and `overrides`.

    Where one of these gives `epochs` and none gives `steps`, the preset's steps do not count.

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
    given = {*values, *given_fields(file, overrides)}
    steps = {"steps": 0} if "epochs" in given and "steps" not in given else {}
    defaults = {**GAN_PRESETS[name], **steps, **values}
    return resolve_config(GanConfig, defaults=defaults, file=file, overrides=overrides)
