"""The folder that shows designs: a grid, each as a PNG, an animated way, and what is known of them as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.audience import Audience
from tfdvbpr.designing.designer import Designer, Designs
from tfdvbpr.designing.optimize.maximize import frame_steps
from tfdvbpr.designing.optimize.scoring import embed_pictures, score_pictures
from tfdvbpr.designing.output.animations import write_animation
from tfdvbpr.designing.output.grid import picture_grid
from tfdvbpr.designing.output.nearest_items import EXTRACTOR, TASTE, Ground, Neighbours, check_space
from tfdvbpr.files import IfExists, check_output, whole_directory
from tfdvbpr.run import Run

DESIGNS_NAME = "designs.json"
LATENTS_NAME = "latents.npy"
_NEIGHBOURS = 3
_FRAMES = 5
_SMOOTH_FRAMES = 21

Floats = npt.NDArray[np.float32]


def write_designs(
    designer: Designer,
    output: Path,
    *,
    category: str,
    dataset: PreparedDataset,
    user_id: str | None = None,
    audience: Audience | None = None,
    seed: int = 0,
    count: int = 8,
    second_run: Run | None = None,
    nearest_by: str = EXTRACTOR,
    if_exists: IfExists = "error",
) -> Designs:
    """Designs for somebody, and a folder that shows them.

    The folder holds `grid.png` (start, steps, end, and the nearest real items of each design), `design_01.png` and on,
    `path.gif` (the way, animated), `latents.npy`, and `designs.json` with preference, realism, novelty, nearest items
    and history of each.

    Args:
        designer: the two runs.
        output: the folder to make.
        category: a category of the GAN.
        dataset: the recommender's, for the nearest real items.
        user_id: whom for, as in the interactions; or an `audience`.
        audience: a user, a group, or somebody new.
        seed: of the starts.
        count: designs to write, at most the number of starts; chosen by objective and diversity.
        second_run: another recommender, which the ascent never sees, to score starts and designs too.
        nearest_by: the space of the nearest items in the grid; those in Φ's are in the JSON beside.
        if_exists: "error", or "overwrite" to replace a folder that is already there.

    Returns:
        The designs that are in the folder, one row.

    Raises:
        UnknownIdError: if a run does not know a user, an item or the category.
        RunError: if the second run does not learn from pixels.
        ConfigError: if there is no such space.
        OutputExistsError: if `output` holds something already.
    """
    check_output(output, if_exists=if_exists)
    check_space(nearest_by, designer.run)
    audience = audience or Audience.user(str(user_id))
    second_tastes = None if second_run is None else audience.tastes(second_run, category)
    designs = designer.design_for(
        audience,
        category,
        seed=seed,
        num_frames=_SMOOTH_FRAMES,
        num_designs=min(count, designer.options.num_starts),
    )
    spaces = {space: _ground(designer.run, dataset, category, space) for space in dict.fromkeys((nearest_by, TASTE))}
    near = {space: ground.nearest(designs.images[0], k=_NEIGHBOURS) for space, ground in spaces.items()}
    told = _told(designer, designs, audience, category, seed=seed)
    told["nearest_by"] = nearest_by
    for number, design in enumerate(told["designs"]):
        design.update(_neighbours(near, nearest_by, number))
    if second_run is not None:
        told["second_run"] = str(second_run.path)
        for key, images in (
            ("second_initial_preference", _frames(designs)[0]),
            ("second_preference", designs.images[0]),
        ):
            for design, score in zip(told["designs"], score_pictures(second_run, images, second_tastes), strict=True):
                design[key] = _rounded(score)
    if len(audience.user_ids) > 1:
        _tell_members(told, designer, designs, audience, category)
    with whole_directory(output, if_exists=if_exists) as folder:
        _grid(designs, dataset, near[nearest_by], designer).save(folder / "grid.png")
        for number, image in enumerate(designs.images[0]):
            Image.fromarray(image).save(folder / f"design_{number + 1:02d}.png")
        write_animation(folder / "path.gif", _frames(designs), captions=_captions(designs))
        np.save(folder / LATENTS_NAME, designs.latents[0])
        (folder / DESIGNS_NAME).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return designs


def _ground(run: Run, dataset: PreparedDataset, category: str, space: str) -> Ground:
    known = dataset.items.categories
    return Ground(dataset, known.index(category) if category in known else None, space=space, run=run)


def _frames(designs: Designs) -> npt.NDArray[np.uint8]:
    """uint8 [F, M, H, W, 3] of the only request."""
    assert designs.frames is not None
    return designs.frames[:, 0]


def _captions(designs: Designs) -> list[str]:
    shown = designs.history["preferences"][0]
    return [f"step {step}, preference {shown[:, step].mean():+.2f}" for step in designs.frame_steps]


def _grid(designs: Designs, dataset: PreparedDataset, near: Neighbours, designer: Designer) -> Image.Image:
    frames, taken = _frames(designs), designs.frame_steps
    steps = frame_steps(taken[-1], _FRAMES)
    at = [int(np.abs(np.array(taken) - step).argmin()) for step in steps]
    rows, captions = [], []
    preferences = designs.history["preferences"][0]
    for number in range(frames.shape[1]):
        rows.append([*(frames[frame, number] for frame in at), None, *dataset.images.read(near.items[number])])
        told = [f"{preferences[number, taken[frame]]:+.2f}" for frame in at]
        captions.append([*told, "", *(f"{distance:.2f} away" for distance in near.distances[number])])
    titles = ["start", *(f"step {taken[frame]}" for frame in at[1:-1]), "design", "", "nearest"]
    row_titles = [f"realism {value:+.2f}" for value in designs.realism_logits[0]]
    return picture_grid(rows, column_titles=titles, row_titles=row_titles, captions=captions)


def _told(designer: Designer, designs: Designs, audience: Audience, category: str, *, seed: int) -> dict[str, Any]:
    def figures(number: int) -> dict[str, Any]:
        return {
            "file": f"design_{number + 1:02d}.png",
            "start": int(designs.starts[0, number]),
            "preference": _rounded(designs.preferences[0, number]),
            "initial_preference": _rounded(designs.initial_preferences[0, number]),
            "realism": _rounded(designs.realism_logits[0, number]),
            "initial_realism": _rounded(designs.initial_realism_logits[0, number]),
            "objective": _rounded(designs.objectives[0, number]),
            "history": {name: [_rounded(one) for one in values[0, number]] for name, values in designs.history.items()},
        }

    one_user = len(audience.user_ids) == 1
    whom = {"user_id": audience.user_ids[0]} if one_user else {"audience": asdict(audience)}
    return {
        **whom,
        "category": category,
        "seed": seed,
        "run": str(designer.run.path),
        "gan_run": str(designer.gan_run.path),
        "gan_created": designer.gan_run.manifest.created,
        "options": asdict(designer.options),
        "designs": [figures(number) for number in range(designs.images.shape[1])],
    }


def _neighbours(near: Mapping[str, Neighbours], nearest_by: str, number: int) -> dict[str, Any]:
    def listed(found: Neighbours) -> list[dict[str, Any]]:
        pairs = zip(found.item_ids[number], found.distances[number], strict=True)
        return [{"item_id": item_id, "distance": _rounded(distance)} for item_id, distance in pairs]

    return {
        "novelty": _rounded(near[nearest_by].novelties[number]),
        "nearest_items": listed(near[nearest_by]),
        "nearest_items_by_taste": listed(near[TASTE]),
    }


def _tell_members(
    told: dict[str, Any], designer: Designer, designs: Designs, audience: Audience, category: str
) -> None:
    """Every member's own preference at the start and at the end."""
    tastes = audience.tastes(designer.run, category)
    for key, images in (("initial_members", _frames(designs)[0]), ("members", designs.images[0])):
        members = tastes.members(embed_pictures(designer.run, images)).numpy()
        for design, row in zip(told["designs"], members, strict=True):
            design[key] = {user_id: _rounded(value) for user_id, value in zip(audience.user_ids, row, strict=True)}


def _rounded(value: Any) -> float:
    return round(float(value), 6)
