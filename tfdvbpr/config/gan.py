"""The configuration of a conditional GAN and its presets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tfdvbpr.config.loading import resolve_config
from tfdvbpr.config.training import TrainingConfig
from tfdvbpr.errors import check_choice

LatentKind = Literal["gaussian", "bounded"]
SmallCategories = Literal["refuse", "merge", "leave-out"]
UpsamplingKind = Literal["bilinear", "transposed"]


class GanConfig(TrainingConfig):
    """Configuration of a conditional GAN run.

    The values here are those of the preset `plain`, which needs nothing but TensorFlow; `gan_config` begins with the
    preset `default`.
    """

    objective: str = Field("lsgan", description="A name in OBJECTIVES: lsgan, the paper's, or hinge.")
    generator: str = Field(
        "dcgan", description="A name in GENERATORS: dcgan, the authors', or conditional, which is modulated by c and z."
    )
    discriminator: str = Field(
        "convolutional",
        description="A name in DISCRIMINATORS: convolutional, the authors', or projected: heads above a frozen network "
        "that ImageNet has taught to see.",
    )
    latents: LatentKind = Field(
        "gaussian",
        description="gaussian: z ~ N(0, I). bounded: tanh of a free variable v ~ N(0, I), so that z stays in (-1, 1).",
    )
    latent_dim: int = Field(128, ge=1, description="Length of z ~ N(0, I); the paper's code has 256.")
    base_channels: int = Field(32, ge=4, description="Width of the generator; the paper's code has 64.")
    upsampling: UpsamplingKind = Field(
        "bilinear",
        description="How dcgan grows: bilinear leaves no grid in the picture; transposed is the paper's code.",
    )
    skip_excitation: bool = Field(
        True, description="conditional: coarse maps weigh the channels of fine ones, as in FastGAN."
    )
    saturation_slope: float = Field(
        0.0,
        ge=0,
        le=1,
        description="conditional: added to the slope of the last tanh in gradients, of training and of designing, "
        "so that a category that has become all black or white can come back; its pictures are the same.",
    )
    discriminator_channels: int = Field(32, ge=4, description="Width of the discriminator; the paper's code has 64.")
    trunk: str = Field(
        "efficientnet_lite0",
        description="projected: the frozen network: efficientnet_lite0, or a model of keras.applications such as "
        "MobileNetV2.",
    )
    trunk_zoom: float = Field(
        1.0,
        ge=0.5,
        le=8,
        description="projected: the trunk sees pictures so many times larger; its cost grows with the square.",
    )
    pixel_head: bool = Field(
        True, description="projected: a further small head looks at the pixels, for grids and noise."
    )
    mismatch_weight: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the discriminator's second term that real pictures with a wrong category have, beside "
        "generated ones.",
    )
    variety_weight: float = Field(
        0.0,
        ge=0,
        description="Weight in the generator's loss of how much less two of its pictures of a category differ in their "
        "colours than two photos of it do; against drawing the same whatever z is.",
    )
    shape_variety_weight: float = Field(
        0.0, ge=0, description="The same of their shapes, whatever the colours: how dark which part of a picture is."
    )
    reconstruction_weight: float = Field(
        0.0,
        ge=0,
        description="projected: weight in the generator's loss of how far photos drawn again, from latents that an "
        "encoder finds, are from the photos; against leaving out what photos show.",
    )
    prior_weight: float = Field(
        0.1, gt=0, description="With reconstruction_weight: weight of KL(q(z|x) ‖ N(0, I)), in nats a photo."
    )
    encoder_learning_rate: float = Field(
        1e-3, gt=0, description="With reconstruction_weight: Adam's step size of the encoder."
    )
    fitted_prior: float = Field(
        0.0,
        ge=0,
        le=1,
        description="With reconstruction_weight: how far from N(0, I), which is 0, to where the encoder finds photos, "
        "which is 1, the latents of the generator that is kept are moved. More is more varied, and strays more "
        "often into another category.",
    )
    augmentation: tuple[str, ...] = Field(
        (),
        description="Names in AUGMENTATIONS, applied to all that the discriminator sees: translation, cutout, colour.",
    )
    category_power: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Categories are drawn in proportion to (their pictures)^power: 1 as they come, 0 all the same.",
    )
    min_category_images: int = Field(1, ge=1, description="A category with fewer pictures is small.")
    small_categories: SmallCategories = Field(
        "refuse", description="What becomes of small categories: refuse (an error), merge (into one), leave-out."
    )
    global_batch_size: int = Field(32, ge=2, description="Pictures a step, all replicas; the paper's code has 16.")
    learning_rate: float = Field(
        2e-4, gt=0, description="Adam's step size of the generator; the paper's code has 1e-4."
    )
    final_learning_rate: float = Field(
        0.1, ge=0, le=1, description="Fraction left at the end of a cosine decay; 1 is none, as in the paper's code."
    )
    discriminator_learning_rate: float = Field(2e-4, gt=0, description="Adam's step size of the discriminator.")
    beta_1: float = Field(0.5, ge=0, lt=1, description="Adam's β₁.")
    beta_2: float = Field(0.99, ge=0, lt=1, description="Adam's β₂.")
    adam_epsilon: float = Field(1e-7, gt=0, description="Adam's ε; the authors' code has 1e-8.")
    average_decay: float = Field(
        0.995,
        ge=0,
        lt=1,
        description="Decay of the averaged generator that is kept, min(decay, (1 + t)/(10 + t)) at step t; 0 keeps the "
        "last.",
    )
    batch_spread: bool = Field(
        True,
        description="convolutional: it sees how much a batch's pictures differ, against a loss of variety.",
    )
    instance_noise: float = Field(
        0.0,
        ge=0,
        description="σ of normal noise on what the discriminator sees in training; pictures span [-1, 1].",
    )
    flip: bool = Field(True, description="Mirror real pictures at random.")
    sample_every: int = Field(
        1,
        ge=0,
        description="Epochs between sheets of samples in the run folder, the same latents each time; 0 is none.",
    )
    intended_image_size: tuple[int, int] | None = Field(
        None, description="(height, width) the values are meant for; a dataset of another size is told of, and used."
    )

    @property
    def draws_pairs(self) -> bool:
        """Whether generated pictures come two by two of one category, to be held against each other."""
        return self.variety_weight > 0 or self.shape_variety_weight > 0


# The authors' GAN; docs/guides/gan.md goes through it line by line.
_PAPER_GAN: Mapping[str, Any] = {
    "latent_dim": 256,
    "base_channels": 64,
    "upsampling": "transposed",
    "discriminator_channels": 64,
    "global_batch_size": 16,
    "learning_rate": 1e-4,
    "discriminator_learning_rate": 1e-4,
    "final_learning_rate": 1.0,
    "adam_epsilon": 1e-8,
    "average_decay": 0.0,
    "batch_spread": False,
    "flip": False,
    "epochs": 50,
    "intended_image_size": (64, 64),
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
        preset: a name in GAN_PRESETS: "default" (also when left out) for the best pictures for the compute, "plain" for
            networks that need no weights of others, "paper" for the authors' networks and numbers.
        file: YAML mapping of field names to values.
        overrides: "key=value" strings.
        **values: fields by name.

    Raises:
        ConfigError: as `resolve_config`, or if the preset is unknown.
    """
    name = preset or "default"
    check_choice("preset", name, GAN_PRESETS)
    return resolve_config(GanConfig, defaults={**GAN_PRESETS[name], **values}, file=file, overrides=overrides)
