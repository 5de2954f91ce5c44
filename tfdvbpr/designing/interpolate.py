"""Interpolation between two designs of a category."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.arrays import read_npy
from tfdvbpr.data.images.decoding import to_uint8
from tfdvbpr.designing.audience import Audience
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.folders import DESIGNS_NAME, LATENTS_NAME
from tfdvbpr.designing.optimize.objective import image_preferences
from tfdvbpr.designing.sample import shown_images
from tfdvbpr.errors import ConfigError

_PARALLEL = 1e-4

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WrittenDesign:
    """A design of a folder made by `tfdvbpr design`: whom it is for, its category, and its latents, float32 [L]."""

    audience: Audience
    category: str
    latents: Floats

    @classmethod
    def read(cls, name: str, designer: Designer) -> WrittenDesign:
        """Reads a design by its name, "FOLDER:NUMBER"; numbers start at 1.

        Raises:
            ConfigError: if the folder is not one of designs, has no such design, or was made with another GAN.
        """
        place, _, number = name.rpartition(":")
        if not place or not number.isdigit():
            raise ConfigError(f"A design must be named as FOLDER:NUMBER, such as designs/u17:1. Received {name!r}.")
        folder = Path(place)
        try:
            about = json.loads((folder / DESIGNS_NAME).read_text(encoding="utf-8"))
            latents = read_npy(folder / LATENTS_NAME)
            audience = Audience.of_json(about["audience"])
            category, created = about["category"], about["gan_created"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(
                f"A design must be named as FOLDER:NUMBER of a folder made by this version's `tfdvbpr design`. "
                f"{folder} is not one. Design again."
            ) from None
        if not 1 <= int(number) <= len(latents):
            raise ConfigError(f"{folder} holds the designs 1 to {len(latents)}. Received {number}.")
        if created != designer.gan_run.manifest.created:
            raise ConfigError(
                f"{folder} must have been made with the GAN of --gan, of {designer.gan_run.manifest.created}. It was "
                f"made with that of {created}. Design again."
            )
        return cls(audience, category, latents[int(number) - 1])


@dataclass(frozen=True)
class Interpolation:
    """Images from one design to another.

    Attributes:
        images: uint8 [F, H, W, 3], of the GAN run's `shown_size`.
        latents: float32 [F, L].
        first_preferences: float32 [F], of the first design's audience.
        last_preferences: float32 [F], of the last design's audience.
        realism_logits: float32 [F], D̂.
    """

    images: npt.NDArray[np.uint8]
    latents: Floats
    first_preferences: Floats
    last_preferences: Floats
    realism_logits: Floats


def slerp(first: Floats, last: Floats, num_frames: int) -> Floats:
    """Spherical linear interpolation of latents, both ends included (Shoemake 1985).

    Gaussian latents lie near a sphere, and the generator was hardly trained inside it; the direction turns evenly and
    the length changes linearly. Parallel latents are interpolated linearly.

    Args:
        first: float32 [L].
        last: float32 [L].
        num_frames: F ≥ 2.

    Returns:
        float32 [F, L].

    Example:
        >>> slerp(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 3)[1].round(4).tolist()
        [0.7071, 0.7071]
    """
    part = np.linspace(0.0, 1.0, num_frames)[:, None]
    lengths = float(np.linalg.norm(first)), float(np.linalg.norm(last))
    one, other = first / max(lengths[0], 1e-12), last / max(lengths[1], 1e-12)
    angle = float(np.arccos(np.clip(one @ other, -1.0, 1.0)))
    if min(angle, np.pi - angle) < _PARALLEL:  # no direction to turn in
        return ((1 - part) * first + part * last).astype(np.float32)
    turned = (np.sin((1 - part) * angle) * one + np.sin(part * angle) * other) / np.sin(angle)
    return (turned * ((1 - part) * lengths[0] + part * lengths[1])).astype(np.float32)


def interpolate(designer: Designer, first: WrittenDesign, last: WrittenDesign, *, num_frames: int = 9) -> Interpolation:
    """Images from one design to another, along the sphere of latents.

    Raises:
        ConfigError: if the designs are of two categories, between which the generator cannot interpolate, or there are
            fewer than 2 images.
        UnknownIdError: if a run does not know a user, an item or the category.
    """
    check_frames(num_frames)
    if first.category != last.category:
        raise ConfigError(f"Both designs must be of one category. Received {first.category!r} and {last.category!r}.")
    latents = slerp(first.latents, last.latents, num_frames)
    category_ids = tf.fill([num_frames], designer.gan_run.category_id(first.category))
    images = designer.objective.images(tf.constant(latents), category_ids)
    images_uint8 = to_uint8(images).numpy()
    first_preferences, last_preferences = (
        image_preferences(designer.run, images_uint8, end.audience.embeddings(designer.run, end.category))
        for end in (first, last)
    )
    logits = designer.objective.realism_logits(images, category_ids).numpy()
    shown = shown_images(designer.gan_run, images_uint8, [first.category] * num_frames)
    return Interpolation(shown, latents, first_preferences, last_preferences, logits)


def check_frames(num_frames: int) -> None:
    """Refuses fewer images than the two ends."""
    if num_frames < 2:
        raise ConfigError(f"`num_frames` must be at least 2, the two ends. Received {num_frames}.")


def write_interpolation(
    found: Interpolation, output: Path, first: WrittenDesign, last: WrittenDesign, *, names: tuple[str, str]
) -> None:
    """Writes `interpolation.png`, `.gif` and `.json`, `latents.npy` and each image into a folder that is being made."""
    from PIL import Image

    from tfdvbpr.data.images.grids import image_grid, write_animation

    pairs = zip(found.first_preferences, found.last_preferences, strict=True)
    captions = [f"{one:+.2f} / {other:+.2f}" for one, other in pairs]
    title = f"{first.category}: from {names[0]} to {names[1]}; preference of the first / the last audience"
    image_grid([list(found.images)], title=title, captions=[captions]).save(output / "interpolation.png")
    write_animation(output / "interpolation.gif", found.images[:, None], captions=captions, cell_height=192)
    np.save(output / LATENTS_NAME, found.latents)
    frames = []
    for number, image in enumerate(found.images):
        file = f"frame_{number + 1:02d}.png"
        Image.fromarray(image).save(output / file)
        figures = {
            "first_preference": found.first_preferences[number],
            "last_preference": found.last_preferences[number],
            "realism": found.realism_logits[number],
        }
        frames.append({"file": file, **{name: round(float(value), 6) for name, value in figures.items()}})
    about = {"category": first.category, "first": names[0], "last": names[1], "frames": frames}
    (output / "interpolation.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
