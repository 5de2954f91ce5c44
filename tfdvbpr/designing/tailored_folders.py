"""Folders of tailored items: what to tailor to whom; image grids, an animation, each image, and figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image

from tfdvbpr.data.chunks import map_chunks
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import decoder, to_float
from tfdvbpr.data.images.grids import image_grid, write_animation
from tfdvbpr.designing.audience import Audience, AudienceEmbeddings, standardized_users
from tfdvbpr.designing.folders import rounded
from tfdvbpr.designing.nearest_items import EXTRACTOR, RealItems
from tfdvbpr.designing.optimize.kept import distances_kept
from tfdvbpr.designing.optimize.objective import image_preferences
from tfdvbpr.designing.sample import shown_images
from tfdvbpr.run import GanRun, Run

if TYPE_CHECKING:
    from tfdvbpr.designing.tailor import Tailored

TAILORED_NAME = "tailored.json"
_MOST_SHOWN = 24  # tailored items with images of their own
_PAIRS = 200  # of real items, for their mean distance
_CHUNK = 64

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TailorRequest:
    """What to tailor: an item's id or an image's file as `name`, of a category of the GAN; and whom to tailor it to."""

    name: str
    category: str
    audience: Audience


def item_images(
    dataset: PreparedDataset, items: npt.NDArray[np.integer[Any]], image_size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """uint8 [N, H, W, 3]: images of items, fitted to any size as the dataset's own are to its size."""
    if tuple(image_size) == tuple(dataset.manifest.image_size):
        return dataset.images.read(items)
    fitted = decoder(image_size, dataset.manifest.fit)
    return np.stack([fitted(dataset.images.jpeg(int(item))).numpy() for item in items])


def sampled_requests(
    run: Run, gan_run: GanRun, dataset: PreparedDataset, *, count: int, seed: int
) -> tuple[list[TailorRequest], npt.NDArray[np.int64]]:
    """Random items of the categories that the GAN generates, without replacement, each with a random user.

    Returns:
        The requests, at most `count`, and the rows of their items, int64 [N].
    """
    generator = np.random.default_rng(seed)
    table = dataset.items.table
    allowed = np.flatnonzero([category in gan_run.trained_categories for category in table["category"]])
    items = generator.choice(allowed, min(count, len(allowed)), replace=False)
    users = generator.integers(0, len(run.user_ids), len(items))
    requests = [
        TailorRequest(table["item_id"][int(item)], table["category"][int(item)], Audience.user(run.user_ids[int(user)]))
        for item, user in zip(items, users, strict=True)
    ]
    return requests, items.astype(np.int64)


def write_tailored(
    tailored: Tailored,
    requests: Sequence[TailorRequest],
    output: Path,
    *,
    gan_run: GanRun,
    dataset: PreparedDataset,
    second_run: Run | None = None,
) -> dict[str, Any]:
    """Writes tailored items into a folder that is being made, and returns their figures.

    `strengths.png` shows up to 24 items: the photo, its reconstruction, and one image per strength; `steps.png` the
    ascent at the greatest strength, which `ascent.gif` animates; `tailored.json` has every item's figures and their
    means. A second recommender, which the ascent does not use, scores before and after.
    """
    figures = tailored_figures(tailored, requests, dataset=dataset, second_run=second_run)
    shown = range(min(_MOST_SHOWN, len(requests)))
    categories = [requests[row].category for row in shown]
    reconstructions, *images = (
        shown_images(gan_run, some[list(shown)], categories)
        for some in (tailored.reconstructions, *np.moveaxis(tailored.images, 1, 0))
    )
    frames = [shown_images(gan_run, some, categories) for some in tailored.frames[:, list(shown), -1]]
    titles = [f"{requests[row].name[:18]} for {requests[row].audience.name[:14]}" for row in shown]
    image_grid(
        [[tailored.originals[row], reconstructions[row], *(some[row] for some in images)] for row in shown],
        title="Preference below, in standard deviations over the category",
        column_titles=["photo", "reconstruction", *(f"strength {strength:g}" for strength in tailored.strengths)],
        row_titles=titles,
        captions=[_captions(tailored, row, tailored.preferences[row]) for row in shown],
    ).save(output / "strengths.png")
    image_grid(
        [[tailored.originals[row], *(some[row] for some in frames)] for row in shown],
        title=f"Gradient ascent at strength {tailored.strengths[-1]:g}",
        column_titles=["photo", "reconstruction", *(f"step {step}" for step in tailored.frame_steps[1:])],
        row_titles=titles,
        captions=[_captions(tailored, row, tailored.history[row, -1, tailored.frame_steps[1:]]) for row in shown],
    ).save(output / "steps.png")
    captions = [f"step {step} at strength {tailored.strengths[-1]:g}" for step in tailored.frame_steps]
    write_animation(output / "ascent.gif", np.stack(frames), captions=captions)
    for row in shown:
        for column, strength in enumerate(tailored.strengths):
            file = output / f"item_{row + 1:02d}_strength_{strength:g}.png"
            Image.fromarray(images[column][row]).save(file)
    (output / TAILORED_NAME).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def tailored_figures(
    tailored: Tailored,
    requests: Sequence[TailorRequest],
    *,
    dataset: PreparedDataset,
    second_run: Run | None = None,
) -> dict[str, Any]:
    """Every item's figures, and their means with standard errors; arguments as of `write_tailored`."""
    losses = losses_kept(tailored)
    columns: dict[str, Floats] = {
        "ssim": tailored.ssim,
        "loss": tailored.losses,
        "feature_distance": _feature_distances(tailored, requests, dataset),
        "original_preference": tailored.original_preferences,
        "reconstruction_preference": tailored.initial_preferences,
        "reconstruction_realism": tailored.initial_realism_logits,
        "preference": tailored.preferences,
        "gain": tailored.preferences - tailored.initial_preferences[:, None],
        "realism": tailored.realism_logits,
        "distance": tailored.distances,
        "colour_change": losses[:, :, 0],
        "cut_change": losses[:, :, 1],
    }
    if second_run is not None:
        audiences, categories = [each.audience for each in requests], [each.category for each in requests]
        users = AudienceEmbeddings.of_users(*standardized_users(second_run, audiences, categories))
        before, *after = (
            image_preferences(second_run, images, users)
            for images in (tailored.reconstructions, *np.moveaxis(tailored.images, 1, 0))
        )
        columns["second_reconstruction_preference"] = before
        columns["second_gain"] = np.stack(after, axis=1) - before[:, None]
    return {
        "strengths": list(tailored.strengths),
        "unit": "standard deviations of preference over the real items of the category",
        "feature_space": EXTRACTOR,
        "second_run": None if second_run is None else str(second_run.path),
        "num_items": len(requests),
        "means": {name: rounded(values.mean(axis=0)) for name, values in columns.items()},
        "standard_errors": {
            name: rounded(values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0 * values[0])
            for name, values in columns.items()
        },
        "items": [
            {
                "item": each.name,
                "category": each.category,
                "audience": each.audience.name,
                **{name: rounded(values[row]) for name, values in columns.items()},
            }
            for row, each in enumerate(requests)
        ],
    }


def losses_kept(tailored: Tailored) -> Floats:
    """float32 [N, K, 2]: what each image has lost of its reconstruction's colours and cut; see `distances_kept`."""
    count, columns = tailored.images.shape[:2]

    def lost(first: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> Any:
        return distances_kept(to_float(tf.constant(first)))(to_float(tf.constant(other)))

    first = np.repeat(tailored.reconstructions, columns, axis=0)
    flat = tailored.images.reshape(-1, *tailored.images.shape[2:])
    return map_chunks(lost, first, flat, chunk_rows=_CHUNK).reshape(count, columns, -1)


def _feature_distances(tailored: Tailored, requests: Sequence[TailorRequest], dataset: PreparedDataset) -> Floats:
    """float32 [N]: from photo to reconstruction, over the mean distance between two real items of the category."""
    found = np.empty(len(requests), np.float32)
    for category in dict.fromkeys(each.category for each in requests):
        rows = np.array([each.category == category for each in requests])
        real = RealItems(dataset, category)
        first, second = real.features(tailored.originals[rows]), real.features(tailored.reconstructions[rows])
        found[rows] = np.linalg.norm(first - second, axis=1) / real.mean_distance(_PAIRS)
    return found


def _captions(tailored: Tailored, row: int, preferences: Floats) -> list[str]:
    shown = (tailored.original_preferences[row], tailored.initial_preferences[row], *preferences)
    return [f"{value:+.2f}" for value in shown]
