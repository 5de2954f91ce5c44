"""Designing for people: from two runs to pictures, figures and the folder that shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.design.grid import picture_grid
from tfdvbpr.design.ground import EXTRACTOR, nearest_items
from tfdvbpr.design.maximize import DesignOptions, frame_steps, initial_latents, maximize
from tfdvbpr.design.objective import DesignObjective
from tfdvbpr.errors import RunError
from tfdvbpr.files import check_output, whole_directory
from tfdvbpr.losses.adversarial import OBJECTIVES
from tfdvbpr.models import LEARNS_FROM_PIXELS
from tfdvbpr.run import GanRun, Run

_NEIGHBOURS = 3
_FRAMES = 5


@dataclass(frozen=True)
class Designs:
    """Designs for a list of requests, each row by falling objective.

    Attributes:
        images: uint8 [B, S, H, W, 3], RGB.
        preferences: float32 [B, S], θᵀΦ of each, unitless.
        realism_logits: float32 [B, S], D of each; with LSGAN 1 is what D calls real.
        initial_preferences: float32 [B, S], θᵀΦ where the ascent began.
        frames: uint8 [F, B, S, H, W, 3] from start to end, or None.
    """

    images: npt.NDArray[np.uint8]
    preferences: npt.NDArray[np.float32]
    realism_logits: npt.NDArray[np.float32]
    initial_preferences: npt.NDArray[np.float32]
    frames: npt.NDArray[np.uint8] | None = None


class Designer:
    """A recommender run and a GAN run, put together for design.

    Args:
        run: a DVBPR run.
        gan_run: a GAN run.
        options: starts, steps, step size, η.

    Raises:
        RunError: if the run is not DVBPR, which alone looks at pixels.
    """

    def __init__(self, run: Run, gan_run: GanRun, *, options: DesignOptions | None = None) -> None:
        if run.manifest.model not in LEARNS_FROM_PIXELS:
            raise RunError(f"Design needs a dvbpr run. {run.path} is a {run.manifest.model} run. Train --model dvbpr.")
        self.run = run
        self.gan_run = gan_run
        self.options = options or DesignOptions()
        self.objective = DesignObjective(
            run.recommender,
            gan_run.generator,
            gan_run.discriminator,
            adversarial=OBJECTIVES[gan_run.config.objective],
            realism_weight=self.options.realism_weight,
        )
        self._maximize = tf.function(self._traced_maximize, reduce_retracing=True, autograph=False)

    def _traced_maximize(self, users: Any, categories: Any, seeds: Any, num_frames: int) -> dict[str, Any]:
        latent_dim = self.gan_run.config.latent_dim
        return maximize(
            self.objective,
            users,
            categories,
            seeds,
            options=self.options,
            latent_dim=latent_dim,
            num_frames=num_frames,
        )

    def design(
        self, user_ids: Sequence[str], categories: Sequence[str], *, seeds: Sequence[int], num_frames: int = 0
    ) -> Designs:
        """New pictures for users, one request a row.

        Args:
            user_ids: as in the interactions.
            categories: one a user.
            seeds: one a user; the same seed gives the same designs.
            num_frames: pictures of the way from start to end to keep.

        Raises:
            UnknownIdError: if a run does not know a user or a category.
        """
        embeddings = self.run.tastes[self.run.user_indices(user_ids)]
        return self.design_for_tastes(embeddings, categories, seeds=seeds, num_frames=num_frames)

    def design_for_tastes(
        self,
        user_embeddings: npt.NDArray[np.float32],
        categories: Sequence[str],
        *,
        seeds: Sequence[int],
        num_frames: int = 0,
    ) -> Designs:
        """New pictures for tastes, float32 [B, D]: a user's θ, or the mean of a segment's."""
        category_ids = [self.gan_run.category_id(category) for category in categories]
        answer = self._maximize(
            tf.constant(user_embeddings),
            tf.constant(category_ids, tf.int32),
            tf.constant(list(seeds), tf.int64),
            num_frames,
        )
        return Designs(**{name: value.numpy() for name, value in answer.items()})

    def generate(self, categories: Sequence[str], *, seeds: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Random pictures of the generator, z ~ N(0, I): uint8 [B, H, W, 3]."""
        category_ids = tf.constant([self.gan_run.category_id(category) for category in categories], tf.int32)
        images, _ = random_images(
            self.objective, category_ids, tf.constant(list(seeds), tf.int64), latent_dim=self.gan_run.config.latent_dim
        )
        pictures: npt.NDArray[np.uint8] = images.numpy()
        return pictures


def random_images(objective: DesignObjective, category_ids: Any, seeds: Any, *, latent_dim: int) -> tuple[Any, Any]:
    """G(z, c) with z ~ N(0, I) from each seed alone, in graph ops.

    Args:
        objective: holds G and D.
        category_ids: int32 [B].
        seeds: int64 [B].
        latent_dim: L.

    Returns:
        uint8 [B, H, W, 3] and D's logits, float32 [B].
    """
    from tfdvbpr.data.images import to_uint8

    latents = initial_latents(seeds, num_rows=1, latent_dim=latent_dim, stddev=1.0)[:, 0]
    images = objective.images(latents, category_ids)
    return to_uint8(images), objective.realism_logits(images, category_ids)


def write_designs(
    designer: Designer,
    output: Path,
    *,
    user_id: str,
    category: str,
    dataset: PreparedDataset,
    seed: int = 0,
    count: int = 8,
    overwrite: bool = False,
) -> Designs:
    """Designs for one user, and a folder that shows them.

    The folder holds `grid.png` (start, steps, end, and the nearest real items of each design), `design_01.png` and on,
    and `designs.json` with the preference, realism and nearest items of each.

    Args:
        designer: the two runs.
        output: the folder to make.
        user_id: as in the interactions.
        category: a category of the GAN.
        dataset: the recommender's, for the nearest real items.
        seed: of the starts.
        count: designs to write, at most the number of starts.
        overwrite: replace a folder that is already there.

    Returns:
        All the designs, one row, of which the first `count` are in the folder.

    Raises:
        UnknownIdError: if a run does not know the user or the category.
        OutputExistsError: if `output` holds something already.
    """
    check_output(output, overwrite=overwrite)
    designs = designer.design([user_id], [category], seeds=[seed], num_frames=_FRAMES)
    frames = designs.frames
    count = min(count, designs.images.shape[1])
    images = designs.images[0, :count]
    near = nearest_items(images, dataset, dataset.items.category_id(category), k=_NEIGHBOURS)
    rows = [
        [*(frames[:, 0, number] if frames is not None else []), None, *dataset.images.read(near.items[number])]
        for number in range(count)
    ]
    steps = frame_steps(designer.options.num_steps, _FRAMES)
    titles = ["start", *(f"step {step}" for step in steps[1:-1]), "design", "", "nearest"]
    row_titles = [f"{value:+.2f}" for value in designs.preferences[0, :count]]
    with whole_directory(output, overwrite=overwrite) as folder:
        picture_grid(rows, column_titles=titles, row_titles=row_titles).save(folder / "grid.png")
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / f"design_{number + 1:02d}.png")
        told = _told(designer, designs, near.item_ids, near.distances, user_id=user_id, category=category, seed=seed)
        (folder / "designs.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return designs


def _told(
    designer: Designer,
    designs: Designs,
    neighbours: list[list[str]],
    distances: npt.NDArray[np.float64],
    *,
    user_id: str,
    category: str,
    seed: int,
) -> dict[str, Any]:
    def figure(values: npt.NDArray[Any], number: int) -> float:
        return round(float(values[0, number]), 6)

    return {
        "user_id": user_id,
        "category": category,
        "seed": seed,
        "run": str(designer.run.path),
        "gan_run": str(designer.gan_run.path),
        "options": asdict(designer.options),
        "nearest_by": EXTRACTOR,
        "designs": [
            {
                "file": f"design_{number + 1:02d}.png",
                "preference": figure(designs.preferences, number),
                "initial_preference": figure(designs.initial_preferences, number),
                "realism": figure(designs.realism_logits, number),
                "nearest_items": [
                    {"item_id": item_id, "distance": round(float(distance), 6)}
                    for item_id, distance in zip(ids, distances[number], strict=True)
                ],
            }
            for number, ids in enumerate(neighbours)
        ],
    }
