"""Random images of a trained generator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image

from tfdvbpr.data.chunks import map_chunks
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_uint8
from tfdvbpr.data.images.grids import image_grid
from tfdvbpr.designing.nearest_items import RealItems
from tfdvbpr.designing.optimize.gradient_ascent import initial_latents
from tfdvbpr.designing.options import check_count
from tfdvbpr.files import IfExists, check_output, whole_directory, whole_file
from tfdvbpr.run import GanRun

SAMPLES_NAME = "samples.png"
_BATCH = 64
_COLUMNS = 12


def sample_images(
    gan_run: GanRun, categories: Sequence[str], *, seeds: Sequence[int], shown: bool = False
) -> npt.NDArray[np.uint8]:
    """G(z, c), z ~ N(0, I) from each seed alone; one category and one seed per image.

    Returns:
        uint8 [N, H, W, 3], RGB, of the generator's size; with `shown`, of the run's `shown_size`.

    Raises:
        UnknownIdError: if the GAN does not know a category.
    """
    images, _ = _generated(gan_run, categories, seeds)
    return shown_images(gan_run, images, categories) if shown else images


def shown_images(
    gan_run: GanRun, images_uint8: npt.NDArray[np.uint8], categories: Sequence[str]
) -> npt.NDArray[np.uint8]:
    """Generated images at the size in which people see them, see `GanRun.shown`.

    Args:
        images_uint8: [N, H, W, 3].
        categories: one per image.
    """
    category_ids = np.array([gan_run.category_id(category) for category in categories], np.int32)
    return map_chunks(gan_run.shown, images_uint8, category_ids, chunk_rows=_BATCH)


def _generated(
    gan_run: GanRun, categories: Sequence[str], seeds: Sequence[int], *, with_logits: bool = False
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Images and, with logits, D̂ of each, float32 [N]."""
    category_ids = tf.constant([gan_run.category_id(category) for category in categories], tf.int32)
    latent_dim = gan_run.config.latent_dim
    latents = initial_latents(tf.constant(list(seeds), tf.int64), num_rows=1, latent_dim=latent_dim)[:, 0]
    parts, logits = [], []
    for start in range(0, len(categories), _BATCH):
        rows = slice(start, start + _BATCH)
        images = gan_run.generator({"latents": latents[rows], "category_ids": category_ids[rows]}, training=False)
        parts.append(to_uint8(images).numpy())
        if with_logits:
            raw = gan_run.discriminator({"images": images, "category_ids": category_ids[rows]}, training=False)
            logits.append(np.asarray(gan_run.logit_scale.calibrated(raw, category_ids[rows])))
    return np.concatenate(parts), np.concatenate(logits) if with_logits else np.zeros(0, np.float32)


def write_sample_grid(gan_run: GanRun, *, columns: int = 12, seed: int = 0) -> None:
    """Writes `samples.png` into a GAN's run folder: one row of random images per category."""
    categories = gan_run.trained_categories
    names = [category for category in categories for _ in range(columns)]
    images = sample_images(gan_run, names, seeds=range(seed, seed + len(names)), shown=True)
    rows = [list(images[start : start + columns]) for start in range(0, len(names), columns)]
    with whole_file(gan_run.path / SAMPLES_NAME) as scratch:
        image_grid(rows, row_titles=categories, cell_height=max(64, gan_run.shown_size[0])).save(scratch)


def write_samples(
    gan_run: GanRun,
    output: Path,
    *,
    categories: Sequence[str],
    count: int,
    seed: int = 0,
    dataset: PreparedDataset | None = None,
    if_exists: IfExists = "error",
) -> list[dict[str, Any]]:
    """Writes a folder of random images: `grid.png`, each as a PNG, and `samples.json`.

    The seeds of a category's images count up from `seed`. The nearest real item of each is found where there is a
    `dataset`. Arguments and errors are those of `tfdvbpr.generate`.

    Returns:
        What `samples.json` holds: category, seed, realism and nearest item of each.
    """
    check_output(output, if_exists=if_exists)
    check_count("count", count)
    names = [category for category in categories for _ in range(count)]
    seeds = [seed + number for _ in categories for number in range(count)]
    images, logits = _generated(gan_run, names, seeds, with_logits=True)
    samples = [
        {"file": f"sample_{number + 1:03d}.png", "category": name, "seed": one, "realism": round(float(logit), 6)}
        for number, (name, one, logit) in enumerate(zip(names, seeds, logits, strict=True))
    ]
    if dataset is not None:
        _add_nearest(samples, images, dataset)
    images = shown_images(gan_run, images, names)
    rows = [list(images[start : start + count][:_COLUMNS]) for start in range(0, len(names), count)]
    captions = [
        [f"realism {logit:+.2f}" for logit in logits[at : at + count][:_COLUMNS]] for at in range(0, len(names), count)
    ]
    with whole_directory(output, if_exists=if_exists) as folder:
        image_grid(rows, row_titles=categories, captions=captions).save(folder / "grid.png")
        for each, image in zip(samples, images, strict=True):
            Image.fromarray(image).save(folder / str(each["file"]))
        (folder / "samples.json").write_text(json.dumps(samples, indent=2) + "\n", encoding="utf-8")
    return samples


def _add_nearest(samples: list[dict[str, Any]], images: npt.NDArray[np.uint8], dataset: PreparedDataset) -> None:
    for category in dict.fromkeys(each["category"] for each in samples):
        rows = [number for number, each in enumerate(samples) if each["category"] == category]
        near = RealItems(dataset, category).nearest(images[rows], k=1)
        for number, row in enumerate(rows):
            samples[row] |= {
                "nearest_item": near.item_ids[number][0],
                "distance": round(float(near.distances[number, 0]), 6),
                "novelty": round(float(near.novelties[number]), 6),
            }
