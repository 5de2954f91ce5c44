"""Folders of designs: an image grid, an animation, each image, and figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tfdvbpr.data.captions import check_caption_columns, item_caption
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.grids import image_grid, write_animation
from tfdvbpr.data.images.photos import LEAST_HEIGHT, sharp_photos
from tfdvbpr.designing.audience import Audience
from tfdvbpr.designing.designer import Designer, Designs
from tfdvbpr.designing.nearest_items import Neighbours, RealItems
from tfdvbpr.designing.optimize.gradient_ascent import frame_steps
from tfdvbpr.designing.optimize.objective import embed_images, image_preferences
from tfdvbpr.designing.sample import shown_images
from tfdvbpr.files import IfExists, check_output, whole_directory
from tfdvbpr.run import GanRun, Run

DESIGNS_NAME = "designs.json"
LATENTS_NAME = "latents.npy"
_NEIGHBOURS = 3
_GRID_FRAMES, _ANIMATION_FRAMES = 5, 21

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
            **{name: rounded(values[number]) for name, values in columns.items()},
            **{name: values[number] for name, values in members.items()},
            "nearest_items": _nearest(near, number),
            "nearest_items_by_embedding": _nearest(near_by_embedding, number),
            "history": {name: rounded(values[0, number]) for name, values in designs.history.items()},
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
    return [{"item_id": item_id, "distance": rounded(distance)} for item_id, distance in pairs]


def _member_preferences(
    designer: Designer, audience: Audience, category: str, images: dict[str, npt.NDArray[np.uint8]]
) -> dict[str, list[dict[str, float]]]:
    """Of a group, each member's preference, image by image; empty for a single user."""
    if len(audience.user_ids) < 2:
        return {}
    users = audience.embeddings(designer.run, category)
    found = {}
    for name, some in images.items():
        rows = rounded(users.member_preferences(embed_images(designer.run, some)))
        found[name] = [dict(zip(audience.user_ids, row, strict=True)) for row in rows]
    return found


def rounded(values: Any) -> Any:
    """Numbers or arrays as nested lists, to six digits after the point."""
    return np.round(np.asarray(values, np.float64), 6).tolist()
