"""Folders of designs and of tailored items: image grids, an animation, each image, and figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tfdvbpr.data.captions import check_caption_columns, item_caption
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import decoder
from tfdvbpr.data.images.grids import image_grid, write_animation
from tfdvbpr.data.images.photos import LEAST_HEIGHT, sharp_photos
from tfdvbpr.designing.audience import Audience, AudienceEmbeddings, standardized_users
from tfdvbpr.designing.designer import Designer, Designs
from tfdvbpr.designing.nearest_items import EXTRACTOR, Neighbours, RealItems
from tfdvbpr.designing.optimize.gradient_ascent import frame_steps
from tfdvbpr.designing.optimize.objective import embed_images, image_preferences
from tfdvbpr.designing.sample import shown_images
from tfdvbpr.files import IfExists, check_output, whole_directory
from tfdvbpr.run import GanRun, Run

if TYPE_CHECKING:
    from tfdvbpr.designing.tailor import Tailored

DESIGNS_NAME = "designs.json"
LATENTS_NAME = "latents.npy"
TAILORED_NAME = "tailored.json"
_NEIGHBOURS = 3
_GRID_FRAMES, _ANIMATION_FRAMES = 5, 21
_MOST_SHOWN = 24  # tailored items with images of their own
_PAIRS = 200  # of real items, for their mean distance

Floats = npt.NDArray[np.float32]


def write_designs(
    designer: Designer,
    output: Path,
    audience: Audience,
    *,
    category: str,
    dataset: PreparedDataset,
    num_designs: int = 8,
    second_run: Run | None = None,
    seed: int = 0,
    captions: Sequence[str] | None = None,
    if_exists: IfExists = "error",
) -> Designs:
    """Designs for an audience, and writes them into a folder; arguments and errors are those of `tfdvbpr.design`.

    The folder holds `grid.png` (start, steps, end, and the nearest real items of each design), `design_01.png` and on,
    `ascent.gif` (from start to design), `latents.npy`, and `designs.json` with preference, realism, novelty, nearest
    items and history of each.
    """
    check_output(output, if_exists=if_exists)
    check_caption_columns(dataset.items.table, captions or ())
    second_users = None if second_run is None else audience.embeddings(second_run, category)
    designs = designer.design_for(audience, category, seed=seed, num_frames=_ANIMATION_FRAMES, num_designs=num_designs)
    images, frames = designs.images[0], _frames(designs)
    shown = shown_frames(designer.gan_run, frames, category)
    near, near_by_embedding = (
        RealItems(dataset, category, run=run).nearest(images, k=_NEIGHBOURS) for run in (None, designer.run)
    )
    columns: dict[str, Any] = {
        "preference": designs.preferences[0],
        "initial_preference": designs.initial_preferences[0],
        "realism": designs.realism_logits[0],
        "initial_realism": designs.initial_realism_logits[0],
        "objective": designs.objectives[0],
        "novelty": near.novelties,
    }
    if second_run is not None:
        columns["second_initial_preference"] = image_preferences(second_run, frames[0], second_users)
        columns["second_preference"] = image_preferences(second_run, images, second_users)
    members = _member_preferences(designer, audience, category, {"initial_members": frames[0], "members": images})
    rows = [
        {
            "file": f"design_{number + 1:02d}.png",
            "start": int(designs.starts[0, number]),
            **{name: _rounded(values[number]) for name, values in columns.items()},
            **{name: values[number] for name, values in members.items()},
            "nearest_items": _nearest(near, number),
            "nearest_items_by_embedding": _nearest(near_by_embedding, number),
            "history": {name: _rounded(values[0, number]) for name, values in designs.history.items()},
        }
        for number in range(len(images))
    ]
    about = {
        "audience": asdict(audience),
        "category": category,
        "seed": seed,
        "run": str(designer.run.path),
        "gan_run": str(designer.gan_run.path),
        "gan_created": designer.gan_run.manifest.created,
        "second_run": None if second_run is None else str(second_run.path),
        "options": asdict(designer.options),
        "designs": rows,
    }
    with whole_directory(output, if_exists=if_exists) as folder:
        _design_grid(designs, shown, dataset, near, captions).save(folder / "grid.png")
        for row, image in zip(rows, shown[-1], strict=True):
            Image.fromarray(image).save(folder / row["file"])
        means = designs.history["preferences"][0].mean(axis=0)
        steps = [f"step {step}, preference {means[step]:+.2f}" for step in designs.frame_steps]
        write_animation(folder / "ascent.gif", shown, captions=steps)
        np.save(folder / LATENTS_NAME, designs.latents[0])
        (folder / DESIGNS_NAME).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return designs


def _frames(designs: Designs) -> npt.NDArray[np.uint8]:
    """uint8 [F, M, H, W, 3] of the only request."""
    assert designs.frames is not None
    return designs.frames[:, 0]


def shown_frames(gan_run: GanRun, frames: npt.NDArray[np.uint8], category: str) -> npt.NDArray[np.uint8]:
    """Frames of designs of a category, uint8 [F, M, H, W, 3], at the size in which people see them."""
    flat = frames.reshape(-1, *frames.shape[2:])
    shown = shown_images(gan_run, flat, [category] * len(flat))
    return shown.reshape(*frames.shape[:2], *shown.shape[1:])


def _design_grid(
    designs: Designs,
    frames: npt.NDArray[np.uint8],
    dataset: PreparedDataset,
    near: Neighbours,
    caption_columns: Sequence[str] | None,
) -> Image.Image:
    taken = designs.frame_steps
    at = [int(np.abs(np.array(taken) - step).argmin()) for step in frame_steps(taken[-1], _GRID_FRAMES)]
    preferences = designs.history["preferences"][0]
    rows, captions = [], []

    def text(item: int, distance: float) -> str:
        return "\n".join([f"distance {distance:.2f}", *item_caption(dataset.items.table, item, caption_columns)])

    for number in range(frames.shape[1]):
        photos = sharp_photos(dataset, near.items[number], height=LEAST_HEIGHT)
        rows.append([*(frames[frame, number] for frame in at), None, *photos])
        ascent = [f"{preferences[number, taken[frame]]:+.2f}" for frame in at]
        items = zip(near.items[number], near.distances[number], strict=True)
        captions.append([*ascent, "", *(text(int(item), distance) for item, distance in items)])
    titles = ["start", *(f"step {taken[frame]}" for frame in at[1:-1]), "design", "", "nearest items"]
    row_titles = [f"realism {value:+.2f}" for value in designs.realism_logits[0]]
    return image_grid(rows, column_titles=titles, row_titles=row_titles, captions=captions, cell_height=LEAST_HEIGHT)


def _nearest(near: Neighbours, number: int) -> list[dict[str, Any]]:
    pairs = zip(near.item_ids[number], near.distances[number], strict=True)
    return [{"item_id": item_id, "distance": _rounded(distance)} for item_id, distance in pairs]


def _member_preferences(
    designer: Designer, audience: Audience, category: str, images: dict[str, npt.NDArray[np.uint8]]
) -> dict[str, list[dict[str, float]]]:
    """Of a group, each member's preference, image by image; empty for a single user."""
    if len(audience.user_ids) < 2:
        return {}
    users = audience.embeddings(designer.run, category)
    found = {}
    for name, some in images.items():
        rows = _rounded(users.member_preferences(embed_images(designer.run, some)))
        found[name] = [dict(zip(audience.user_ids, row, strict=True)) for row in rows]
    return found


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
        "means": {name: _rounded(values.mean(axis=0)) for name, values in columns.items()},
        "standard_errors": {
            name: _rounded(values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0 * values[0])
            for name, values in columns.items()
        },
        "items": [
            {
                "item": each.name,
                "category": each.category,
                "audience": each.audience.name,
                **{name: _rounded(values[row]) for name, values in columns.items()},
            }
            for row, each in enumerate(requests)
        ],
    }


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


def _rounded(values: Any) -> Any:
    return np.round(np.asarray(values, np.float64), 6).tolist()
