"""Random pictures of a trained generator, for no one in particular."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.images import to_uint8
from tfdvbpr.design.grid import picture_grid
from tfdvbpr.design.maximize import initial_latents
from tfdvbpr.files import whole_file
from tfdvbpr.run import GanRun

SAMPLES_NAME = "samples.png"
_BATCH = 64


def random_pictures(gan_run: GanRun, categories: Sequence[str], *, seeds: Sequence[int]) -> npt.NDArray[np.uint8]:
    """G(z, c), z ~ N(0, I) from each seed alone.

    Args:
        gan_run: whose generator draws.
        categories: one a picture.
        seeds: one a picture; the same seed gives the same picture.

    Returns:
        uint8 [N, H, W, 3], RGB.

    Raises:
        UnknownIdError: if the GAN does not know a category.
    """
    category_ids = tf.constant([gan_run.category_id(category) for category in categories], tf.int32)
    latents = initial_latents(
        tf.constant(list(seeds), tf.int64), num_rows=1, latent_dim=gan_run.config.latent_dim, stddev=1.0
    )[:, 0]
    parts = []
    for start in range(0, len(categories), _BATCH):
        rows = slice(start, start + _BATCH)
        inputs = {"latents": latents[rows], "category_ids": category_ids[rows]}
        parts.append(to_uint8(gan_run.generator(inputs, training=False)).numpy())
    return np.concatenate(parts)


def write_sample_sheet(gan_run: GanRun, *, columns: int = 12, seed: int = 0) -> None:
    """Writes `samples.png` into a GAN's run folder: one row of random pictures a category."""
    categories = gan_run.trained_categories
    names = [category for category in categories for _ in range(columns)]
    pictures = random_pictures(gan_run, names, seeds=range(seed, seed + len(names)))
    rows = [list(pictures[start : start + columns]) for start in range(0, len(names), columns)]
    with whole_file(gan_run.path / SAMPLES_NAME) as scratch:
        picture_grid(rows, row_titles=categories, cell_height=64).save(scratch)
