"""Ways between two designs: of two people, or of one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.images.decoding import to_uint8
from tfdvbpr.designing.audience import Audience
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.optimize.scoring import score_pictures
from tfdvbpr.designing.options import LatentKind
from tfdvbpr.designing.output.folder import DESIGNS_NAME, LATENTS_NAME
from tfdvbpr.errors import ConfigError

_PARALLEL = 1e-4
_ALMOST_ONE = 1.0 - 1e-6

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class End:
    """One end of a way: a design and whom it was made for.

    Attributes:
        audience: whose preference is told along the way.
        category: of the design.
        latents: float32 [L], as the generator takes it.
    """

    audience: Audience
    category: str
    latents: Floats


@dataclass(frozen=True)
class Way:
    """Pictures from one design to another.

    Attributes:
        images: uint8 [F, H, W, 3].
        latents: float32 [F, L].
        first_preferences: float32 [F], of whom the first design was made for.
        last_preferences: float32 [F], of whom the last was.
        realism_logits: float32 [F], D̂.
    """

    images: npt.NDArray[np.uint8]
    latents: Floats
    first_preferences: Floats
    last_preferences: Floats
    realism_logits: Floats


def between(first: Floats, last: Floats, num_frames: int, *, latents: LatentKind, tanh_inside: bool = False) -> Floats:
    """Latents from one to another, both included: along the sphere for Gaussian ones, straight for bounded ones.

    Gaussian latents lie near a sphere, whose inside the generator has hardly seen; the direction is turned evenly
    (Shoemake 1985) and the length changes linearly.

    Args:
        first: float32 [L].
        last: float32 [L].
        num_frames: F ≥ 2.
        latents: "gaussian" or "bounded".
        tanh_inside: whether the generator bounds what it takes by tanh; then the line is straight behind it.

    Returns:
        float32 [F, L].
    """
    part = np.linspace(0.0, 1.0, num_frames)[:, None]
    if latents == "bounded":
        if not tanh_inside:
            return ((1 - part) * first + part * last).astype(np.float32)
        line = (1 - part) * np.tanh(first.astype(np.float64)) + part * np.tanh(last.astype(np.float64))
        return np.arctanh(np.clip(line, -_ALMOST_ONE, _ALMOST_ONE)).astype(np.float32)
    lengths = float(np.linalg.norm(first)), float(np.linalg.norm(last))
    one, other = first / max(lengths[0], 1e-12), last / max(lengths[1], 1e-12)
    angle = float(np.arccos(np.clip(one @ other, -1.0, 1.0)))
    if min(angle, np.pi - angle) < _PARALLEL:  # no direction to turn in
        return ((1 - part) * first + part * last).astype(np.float32)
    turned = (np.sin((1 - part) * angle) * one + np.sin(part * angle) * other) / np.sin(angle)
    return (turned * ((1 - part) * lengths[0] + part * lengths[1])).astype(np.float32)


def designed_end(designer: Designer, audience: Audience, category: str, *, seed: int) -> End:
    """The best design for somebody."""
    designs = designer.design_for(audience, category, seed=seed, num_designs=1)
    return End(audience, category, designs.latents[0, 0])


def written_end(folder: Path, number: int, designer: Designer) -> End:
    """A design of a folder made by `tfdvbpr design`.

    Args:
        folder: with designs.json and latents.npy.
        number: of the design, from 1.
        designer: the runs it was made with.

    Raises:
        ConfigError: if the folder is none, has no such design, or was made with another GAN.
    """
    try:
        told = json.loads((folder / DESIGNS_NAME).read_text(encoding="utf-8"))
        latents = np.load(folder / LATENTS_NAME, allow_pickle=False)
    except (OSError, ValueError):
        raise ConfigError(f"A design must be named as FOLDER:NUMBER of `tfdvbpr design`. {folder} is none.") from None
    if not 1 <= number <= len(latents):
        raise ConfigError(f"{folder} holds the designs 1 to {len(latents)}. Received {number}.")
    created = designer.gan_run.manifest.created
    if told.get("gan_created") != created:
        raise ConfigError(
            f"{folder} must have been made with the GAN of --gan, of {created}. It was made with that of "
            f"{told.get('gan_created')}. Design again."
        )
    whom = told.get("audience") or {"user_ids": [told["user_id"]]}
    lists: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in whom.items()}
    return End(Audience(**lists), told["category"], latents[number - 1])


def interpolate(designer: Designer, first: End, last: End, *, num_frames: int = 9) -> Way:
    """Pictures from one design to another.

    Args:
        designer: the two runs.
        first: where the way begins.
        last: where it ends.
        num_frames: pictures, at least 2.

    Raises:
        ConfigError: if the designs are of two categories, between which the generator knows no way, or there are fewer
            than 2 pictures.
        UnknownIdError: if a run does not know a user, an item or the category.
    """
    check_frames(num_frames)
    if first.category != last.category:
        raise ConfigError(f"Both designs must be of one category. Received {first.category!r} and {last.category!r}.")
    objective, kind = designer.objective, designer.options.latents
    latents = between(
        first.latents, last.latents, num_frames, latents=kind, tanh_inside=kind == "bounded" and not objective.bounded
    )
    category_ids = tf.fill([num_frames], designer.gan_run.category_id(first.category))
    images = objective.images(tf.constant(latents), category_ids)
    pictures = to_uint8(images).numpy()
    return Way(
        pictures,
        latents,
        _preferences(designer, first, pictures),
        _preferences(designer, last, pictures),
        objective.realism_logits(images, category_ids).numpy(),
    )


def check_frames(num_frames: int) -> None:
    """Refuses a way without both ends.

    Raises:
        ConfigError: naming the number.
    """
    if num_frames < 2:
        raise ConfigError(f"`num_frames` must be at least 2, the two ends. Received {num_frames}.")


def _preferences(designer: Designer, end: End, pictures: npt.NDArray[np.uint8]) -> Floats:
    tastes: Any = end.audience.tastes(designer.run, end.category)
    return score_pictures(designer.run, pictures, tastes)


def write_way(way: Way, output: Path, first: End, last: End, *, names: Sequence[str]) -> None:
    """Writes a way into a folder that is being made: `path.png`, `path.gif`, the pictures, and `interpolation.json`.

    Args:
        way: to write.
        output: the folder.
        first: its beginning.
        last: its end.
        names: of the two ends, for people.
    """
    from PIL import Image

    from tfdvbpr.designing.output.animations import write_animation
    from tfdvbpr.designing.output.grid import picture_grid

    captions = [
        f"{one:+.2f} / {other:+.2f}" for one, other in zip(way.first_preferences, way.last_preferences, strict=True)
    ]
    title = f"{first.category}: from the design of {names[0]} to that of {names[1]}; preference of the one / the other"
    picture_grid([list(way.images)], title=title, captions=[captions]).save(output / "path.png")
    write_animation(output / "path.gif", way.images[:, None], captions=captions, cell_height=192)
    for number, image in enumerate(way.images):
        Image.fromarray(image).save(output / f"frame_{number + 1:02d}.png")
    np.save(output / LATENTS_NAME, way.latents)
    told = {
        "category": first.category,
        "first": names[0],
        "last": names[1],
        "frames": [
            {
                "file": f"frame_{number + 1:02d}.png",
                "first_preference": round(float(way.first_preferences[number]), 6),
                "last_preference": round(float(way.last_preferences[number]), 6),
                "realism": round(float(way.realism_logits[number]), 6),
            }
            for number in range(len(way.images))
        ],
    }
    (output / "interpolation.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
