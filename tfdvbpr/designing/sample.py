"""Random pictures of a trained generator, for no one in particular."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_uint8
from tfdvbpr.designing.optimize.maximize import initial_latents
from tfdvbpr.designing.options import check_count, check_weight
from tfdvbpr.designing.output.grid import picture_grid
from tfdvbpr.designing.output.nearest_items import EXTRACTOR, Ground
from tfdvbpr.files import IfExists, check_output, whole_directory, whole_file
from tfdvbpr.run import GanRun

SAMPLES_NAME = "samples.png"
_BATCH = 64
_COLUMNS = 12


def random_pictures(
    gan_run: GanRun, categories: Sequence[str], *, seeds: Sequence[int], spread: float = 1.0
) -> npt.NDArray[np.uint8]:
    """G(z, c), z ~ N(0, spread² I) from each seed alone.

    Args:
        gan_run: whose generator draws.
        categories: one a picture.
        seeds: one a picture; the same seed gives the same picture.
        spread: below 1, pictures are more alike and often cleaner (the truncation of Brock et al. 2019, softly).

    Returns:
        uint8 [N, H, W, 3], RGB.

    Raises:
        UnknownIdError: if the GAN does not know a category.
    """
    pictures, _ = _drawn(gan_run, categories, seeds, spread)
    return pictures


def _drawn(
    gan_run: GanRun, categories: Sequence[str], seeds: Sequence[int], spread: float, *, judged: bool = False
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Pictures and, if they are judged, D̂ of each, float32 [N]."""
    category_ids = tf.constant([gan_run.category_id(category) for category in categories], tf.int32)
    latents = initial_latents(
        tf.constant(list(seeds), tf.int64), num_rows=1, latent_dim=gan_run.config.latent_dim, stddev=spread
    )[:, 0]
    scale = getattr(gan_run, "logit_scale", None)
    parts, logits = [], []
    for start in range(0, len(categories), _BATCH):
        rows = slice(start, start + _BATCH)
        images = gan_run.generator({"latents": latents[rows], "category_ids": category_ids[rows]}, training=False)
        parts.append(to_uint8(images).numpy())
        if judged:
            seen = gan_run.discriminator({"images": images, "category_ids": category_ids[rows]}, training=False)
            logits.append(np.asarray(seen if scale is None else scale.calibrated(seen, category_ids[rows])))
    return np.concatenate(parts), np.concatenate(logits) if judged else np.zeros(0, np.float32)


def write_sample_sheet(gan_run: GanRun, *, columns: int = 12, seed: int = 0) -> None:
    """Writes `samples.png` into a GAN's run folder: one row of random pictures a category."""
    categories = gan_run.trained_categories
    names = [category for category in categories for _ in range(columns)]
    pictures = random_pictures(gan_run, names, seeds=range(seed, seed + len(names)))
    rows = [list(pictures[start : start + columns]) for start in range(0, len(names), columns)]
    with whole_file(gan_run.path / SAMPLES_NAME) as scratch:
        picture_grid(rows, row_titles=categories, cell_height=64).save(scratch)


def write_samples(
    gan_run: GanRun,
    output: Path,
    *,
    categories: Sequence[str],
    count: int,
    seed: int = 0,
    spread: float = 1.0,
    dataset: PreparedDataset | None = None,
    if_exists: IfExists = "error",
) -> list[dict[str, Any]]:
    """Random pictures of categories, and a folder that shows them: `grid.png`, each as a PNG, and `samples.json`.

    Args:
        gan_run: whose generator draws.
        output: the folder to make.
        categories: each gives a row.
        count: pictures a category.
        seed: of the first picture of each category; the next ones follow.
        spread: as of `random_pictures`.
        dataset: whose nearest real item each picture is held against; None leaves that out.
        if_exists: "error", or "overwrite" to replace a folder that is already there.

    Returns:
        What `samples.json` holds: category, seed, realism and nearest item of each.

    Raises:
        UnknownIdError: if the GAN does not know a category.
        ConfigError: if `count` is below 1 or `spread` is no number above 0.
        OutputExistsError: if `output` holds something already.
    """
    check_output(output, if_exists=if_exists)
    check_count("count", count)
    check_weight("spread", spread, above_zero=True)
    names = [category for category in categories for _ in range(count)]
    seeds = [seed + number for _ in categories for number in range(count)]
    pictures, logits = _drawn(gan_run, names, seeds, spread, judged=True)
    told = [
        {"file": f"sample_{number + 1:03d}.png", "category": name, "seed": one, "realism": round(float(logit), 6)}
        for number, (name, one, logit) in enumerate(zip(names, seeds, logits, strict=True))
    ]
    if dataset is not None:
        _tell_nearest(told, pictures, dataset)
    rows = [list(pictures[start : start + count][:_COLUMNS]) for start in range(0, len(names), count)]
    captions = [
        [f"realism {logit:+.2f}" for logit in logits[at : at + count][:_COLUMNS]] for at in range(0, len(names), count)
    ]
    with whole_directory(output, if_exists=if_exists) as folder:
        picture_grid(rows, row_titles=categories, captions=captions).save(folder / "grid.png")
        for each, picture in zip(told, pictures, strict=True):
            Image.fromarray(picture).save(folder / str(each["file"]))
        (folder / "samples.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return told


def _tell_nearest(told: list[dict[str, Any]], pictures: npt.NDArray[np.uint8], dataset: PreparedDataset) -> None:
    for category in dict.fromkeys(each["category"] for each in told):
        rows = [number for number, each in enumerate(told) if each["category"] == category]
        near = Ground(dataset, dataset.items.category_id(category)).nearest(pictures[rows], k=1)
        for place, row in enumerate(rows):
            told[row] |= {
                "nearest_by": EXTRACTOR,
                "nearest_item": near.item_ids[place][0],
                "distance": round(float(near.distances[place, 0]), 6),
                "novelty": round(float(near.novelties[place]), 6),
            }
