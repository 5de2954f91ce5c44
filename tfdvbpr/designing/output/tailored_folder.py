"""The folder that shows tailored items: sheets of paths, an animation, each picture, and figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import decoder
from tfdvbpr.designing.audience import Audience, offset_tastes, standardised_tastes
from tfdvbpr.designing.optimize.scoring import score_pictures
from tfdvbpr.designing.output.animations import write_animation
from tfdvbpr.designing.output.grid import picture_grid
from tfdvbpr.designing.output.nearest_items import EXTRACTOR, Ground
from tfdvbpr.designing.tailor import Tailored
from tfdvbpr.run import GanRun, Run

TAILORED_NAME = "tailored.json"
_SHOWN = 24
_PAIRS = 200

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Request:
    """An item, or a picture of one, for somebody.

    Attributes:
        name: the item's id or the picture's file, for people.
        category: of the GAN.
        audience: whom for; no group.
    """

    name: str
    category: str
    audience: Audience


def item_pictures(
    dataset: PreparedDataset, items: npt.NDArray[np.integer[Any]], image_size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """uint8 [N, H, W, 3]: pictures of items at a size of their own, fitted as the dataset's."""
    if tuple(image_size) == tuple(dataset.manifest.image_size):
        return dataset.images.read(items)
    fitted = decoder(image_size, dataset.manifest.fit)
    return np.stack([fitted(dataset.images.jpeg(int(item))).numpy() for item in items])


def sampled_requests(
    run: Run, gan_run: GanRun, dataset: PreparedDataset, *, count: int, seed: int
) -> tuple[list[Request], npt.NDArray[np.int64]]:
    """Items drawn at random among the categories the GAN draws, each for a user drawn at random.

    Args:
        run: whose users are drawn.
        gan_run: whose categories may be.
        dataset: whose items are drawn; not more than there are.
        count: how many.
        seed: of the draws.

    Returns:
        The requests, and the rows of their items, int64 [N].
    """
    generator = np.random.default_rng(seed)
    known = getattr(gan_run, "trained_categories", gan_run.manifest.categories)
    table = dataset.items.table
    able = np.flatnonzero([category in known for category in table["category"]])
    items = generator.choice(able, min(count, len(able)), replace=False)
    users = generator.integers(0, len(run.user_ids), len(items))
    requests = [
        Request(table["item_id"][int(item)], table["category"][int(item)], Audience.user(run.user_ids[int(user)]))
        for item, user in zip(items, users, strict=True)
    ]
    return requests, items.astype(np.int64)


def write_tailored(
    tailored: Tailored,
    requests: Sequence[Request],
    output: Path,
    *,
    run: Run,
    dataset: PreparedDataset,
    second_run: Run | None = None,
    judged_by: str = EXTRACTOR,
) -> dict[str, Any]:
    """Writes tailored items into a folder that is being made.

    `paths.png` shows up to 24 items: the photo, its reconstruction, and one picture a strength; `steps.png` the way at
    the greatest strength, which `path.gif` animates; `tailored.json` has every item's figures and their means.

    Args:
        tailored: what to write.
        requests: one an item.
        output: the folder.
        run: the recommender.
        dataset: its own.
        second_run: another recommender, which the ascent has not seen, to score before and after.
        judged_by: the feature space the reconstruction is judged in.

    Returns:
        The figures.
    """
    told = figures(tailored, requests, run=run, dataset=dataset, second_run=second_run, judged_by=judged_by)
    shown = range(min(_SHOWN, len(requests)))
    _paths(tailored, requests, shown).save(output / "paths.png")
    _steps(tailored, requests, shown).save(output / "steps.png")
    captions = [f"step {step} at strength {tailored.strengths[-1]:g}" for step in tailored.frame_steps]
    write_animation(output / "path.gif", tailored.frames[:, list(shown), -1], captions=captions)
    for row in shown:
        for column, strength in enumerate(tailored.strengths):
            picture = Image.fromarray(tailored.images[row, column])
            picture.save(output / f"item_{row + 1:02d}_strength_{strength:g}.png")
    (output / TAILORED_NAME).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return told


def figures(
    tailored: Tailored,
    requests: Sequence[Request],
    *,
    run: Run,
    dataset: PreparedDataset,
    second_run: Run | None = None,
    judged_by: str = EXTRACTOR,
) -> dict[str, Any]:
    """Every item's figures, and their means with standard errors; arguments as of `write_tailored`."""
    unlike = _feature_distances(tailored, requests, dataset, judged_by)
    columns: dict[str, Floats] = {
        "ssim": tailored.ssim,
        "loss": tailored.losses,
        "feature_distance": unlike,
        "original_preference": tailored.original_preferences,
        "reconstruction_preference": tailored.initial_preferences,
        "reconstruction_realism": tailored.initial_realism_logits,
        "preference": tailored.preferences,
        "gain": tailored.preferences - tailored.initial_preferences[:, None],
        "realism": tailored.realism_logits,
        "distance": tailored.distances,
    }
    if second_run is not None:
        before, after = _second(tailored, requests, second_run)
        columns |= {"second_reconstruction_preference": before, "second_gain": after - before[:, None]}
    whom = [{"item": each.name, "category": each.category, "for": each.audience.name} for each in requests]
    items = [
        {**told, **{name: _listed(values[row]) for name, values in columns.items()}} for row, told in enumerate(whom)
    ]
    means = {name: _listed(values.mean(axis=0)) for name, values in columns.items()}
    errors = {
        name: _listed(values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0 * values[0])
        for name, values in columns.items()
    }
    return {
        "strengths": list(tailored.strengths),
        "unit": "standard deviations of preference over the real items of the category",
        "judged_by": judged_by,
        "second_run": None if second_run is None else str(second_run.path),
        "num_items": len(requests),
        "means": means,
        "standard_errors": errors,
        "items": items,
    }


def _feature_distances(tailored: Tailored, requests: Sequence[Request], dataset: PreparedDataset, space: str) -> Floats:
    """float32 [N]: from photo to reconstruction, over the mean distance between two real items of the category."""
    found = np.empty(len(requests), np.float32)
    for category in dict.fromkeys(each.category for each in requests):
        rows = np.array([each.category == category for each in requests])
        ground = Ground(dataset, dataset.items.category_id(category), space=space)
        first, second = ground.features(tailored.originals[rows]), ground.features(tailored.reconstructions[rows])
        found[rows] = np.linalg.norm(first - second, axis=1) / ground.typical_distance(_PAIRS)
    return found


def _second(tailored: Tailored, requests: Sequence[Request], run: Run) -> tuple[Floats, Floats]:
    audiences, categories = [each.audience for each in requests], [each.category for each in requests]
    embeddings, offsets = standardised_tastes(run, audiences, categories)
    before = score_pictures(run, tailored.reconstructions, offset_tastes(embeddings, offsets))
    after = [
        score_pictures(run, tailored.images[:, column], offset_tastes(embeddings, offsets))
        for column in range(len(tailored.strengths))
    ]
    return before, np.stack(after, axis=1)


def _paths(tailored: Tailored, requests: Sequence[Request], shown: Sequence[int]) -> Image.Image:
    rows = [[tailored.originals[row], tailored.reconstructions[row], *tailored.images[row]] for row in shown]
    captions = [
        [
            f"{tailored.original_preferences[row]:+.2f}",
            f"{tailored.initial_preferences[row]:+.2f}",
            *(f"{value:+.2f}" for value in tailored.preferences[row]),
        ]
        for row in shown
    ]
    titles = ["photo", "found", *(f"strength {strength:g}" for strength in tailored.strengths)]
    return picture_grid(
        rows,
        title="Preference below, in standard deviations over the category",
        column_titles=titles,
        row_titles=[_whom(requests[row]) for row in shown],
        captions=captions,
    )


def _steps(tailored: Tailored, requests: Sequence[Request], shown: Sequence[int]) -> Image.Image:
    rows = [[tailored.originals[row], *tailored.frames[:, row, -1]] for row in shown]
    captions = [
        [
            f"{tailored.original_preferences[row]:+.2f}",
            *(f"{tailored.history[row, -1, step]:+.2f}" for step in tailored.frame_steps),
        ]
        for row in shown
    ]
    titles = ["photo", "found", *(f"step {step}" for step in tailored.frame_steps[1:])]
    return picture_grid(
        rows,
        title=f"The way at strength {tailored.strengths[-1]:g}",
        column_titles=titles,
        row_titles=[_whom(requests[row]) for row in shown],
        captions=captions,
    )


def _whom(request: Request) -> str:
    return f"{request.name[:18]} for {request.audience.name[:14]}"


def _listed(values: Any) -> Any:
    rounded = np.round(np.asarray(values, np.float64), 6)
    return rounded.tolist()
