"""The pictures of the paper's table: real items, random pictures, retrieved items, designs; one a request each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.optimize.objective import embed_images
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.designing.sample import sample_images
from tfdvbpr.evaluation.designs.requests import Requests, Standard
from tfdvbpr.files import whole_file
from tfdvbpr.run import GanRun, Run

RANDOM_REAL, RANDOM_G, RETRIEVED = "random real items", "random G", "top retrieved items"
_SEEDS = 1_000_000_000
_ROWS = 256
_BLOCK = 64

Pictures = npt.NDArray[np.uint8]
Told = Callable[[str], None]


@dataclass(frozen=True)
class Arm:
    """One row of the table.

    Attributes:
        images: uint8 [R, H, W, 3], one a request.
        preferences: float64 [R], θᵀΦ under the first recommender.
        second: float64 [R], under the second one, or None.
        realism: float64 [R], D̂: 1 is what D calls real.
    """

    images: Pictures
    preferences: npt.NDArray[np.float64]
    second: npt.NDArray[np.float64] | None
    realism: npt.NDArray[np.float64]


def real_pictures(
    dataset: PreparedDataset, run: Run, requests: Requests, standard: Standard, *, seed: int
) -> dict[str, Pictures]:
    """A random real item of each request's category, and the one its user would like best.

    Args:
        dataset: the GAN's, for pictures of the size it draws.
        run: the recommender, whose items they are.
        requests: what is asked for.
        standard: of the recommender, for the best items; what the user has acted on is not left out.
        seed: of the random items.
    """
    generator = np.random.default_rng((seed, 12))
    ids = dataset.items.category_ids
    rows = {name: np.flatnonzero(ids == dataset.items.category_id(name)) for name in sorted(set(requests.categories))}
    random = np.array([generator.choice(rows[name]) for name in requests.categories])
    best = dataset.items.indices([run.items.item_ids[item] for item in standard.best_items])
    return {RANDOM_REAL: dataset.images.read(random), RETRIEVED: dataset.images.read(best)}


def random_arms(gan_run: GanRun, run: Run, requests: Requests, *, num_starts: int, seed: int) -> dict[str, Pictures]:
    """One random picture a request, and the best by the first recommender of as many as a design has starts.

    The second says what choosing alone brings, without an ascent.
    """
    first = _SEEDS + seed * len(requests) * num_starts
    pictures = sample_images(
        gan_run,
        [name for name in requests.categories for _ in range(num_starts)],
        seeds=range(first, first + len(requests) * num_starts),
    )
    tastes = np.repeat(run.tastes[requests.users], num_starts, axis=0)
    scores = (embed_images(run, pictures) * tastes).sum(axis=1).reshape(-1, num_starts)
    several = pictures.reshape(len(requests), num_starts, *pictures.shape[1:])
    best = several[np.arange(len(requests)), scores.argmax(axis=1)]
    return {RANDOM_G: several[:, 0], f"best of {num_starts} random G": best}


def design_arms(
    run: Run,
    gan_run: GanRun,
    requests: Requests,
    *,
    options: DesignOptions,
    realism_weights: tuple[float, ...],
    seed: int,
    keep: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    told: Told = lambda line: None,
) -> dict[str, Pictures]:
    """The best design a request by its objective, for every η.

    Args:
        run: the recommender that is ascended.
        gan_run: the GAN.
        requests: what is asked for; every row the same starts under every η.
        options: starts and steps.
        realism_weights: the values of η.
        seed: of the starts.
        keep: a folder for finished blocks of 64 requests, from which a later call takes them up; left out, nothing is
            kept.
        progress: told of (requests done, in all), anew for each row of the table.
        told: takes a line for people a row.
    """
    found, designer = {}, Designer(run, gan_run, options=options)
    for weight in realism_weights:
        label = design_label(weight)
        found[label] = _designed(
            designer, requests, weight, seed=seed, keep=keep, label=label, progress=progress, told=told
        )
    return found


def _designed(
    designer: Designer,
    requests: Requests,
    weight: float,
    *,
    seed: int,
    keep: Path | None,
    label: str,
    progress: Callable[[int, int], None] | None,
    told: Told,
) -> Pictures:
    """One row of the table, block by block; blocks that are kept are read."""
    seeds = [seed * len(requests) + number for number in range(len(requests))]
    parts: list[Pictures] = []
    announced = False
    for start in range(0, len(requests), _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = Requests(requests.users[rows], requests.categories[rows])
        file = None if keep is None else keep / f"{_key(designer, block, seeds[rows], weight)}.npy"
        if file is not None and file.is_file():
            parts.append(np.load(file, allow_pickle=False))
            continue
        if not announced:
            told(f"Designing {len(requests)} pictures: {label}.")
            announced = True
        user_ids = [designer.run.user_ids[user] for user in block.users]
        designs = designer.design(user_ids, block.categories, seeds=seeds[rows], realism_weight=weight, num_designs=1)
        parts.append(designs.images[:, 0])
        if file is not None:
            with whole_file(file) as scratch:
                np.save(scratch, parts[-1])
        if progress is not None:
            progress(min(start + _BLOCK, len(requests)), len(requests))
    return np.concatenate(parts)


def _key(designer: Designer, requests: Requests, seeds: list[int], weight: float) -> str:
    """Of everything that a row of designs follows from."""
    runs = [(str(run.path.resolve()), run.manifest.created) for run in (designer.run, designer.gan_run)]
    asked = (requests.users.tolist(), requests.categories, seeds, weight)
    text = json.dumps([runs, asdict(designer.options), asked])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def design_label(weight: float) -> str:
    """The row's name."""
    return f"designs η={weight:g}"


def scored(
    pictures: Mapping[str, Pictures], requests: Requests, run: Run, second: Run | None, designer: Designer
) -> dict[str, Arm]:
    """Every picture's worth to its user under one or two recommenders, and to the discriminator.

    All are scored from their 8-bit pixels, real and drawn alike.

    Args:
        pictures: uint8 [R, H, W, 3] a row of the table.
        requests: whom they are for.
        run: the recommender that was ascended.
        second: one that no ascent has seen.
        designer: for the discriminator.
    """
    categories = np.array([designer.gan_run.category_id(name) for name in requests.categories], np.int32)

    def worth(recommender: Run, images: Pictures) -> npt.NDArray[np.float64]:
        embeddings = embed_images(recommender, images).astype(np.float64)
        values: npt.NDArray[np.float64] = (embeddings * recommender.tastes[requests.users]).sum(axis=1)
        return values

    return {
        label: Arm(
            images,
            worth(run, images),
            None if second is None else worth(second, images),
            _realism(designer.objective, images, categories),
        )
        for label, images in pictures.items()
    }


def _realism(objective: Any, images: Pictures, categories: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    parts = [
        objective.realism_logits(
            to_float(tf.constant(images[start : start + _ROWS])), tf.constant(categories[start : start + _ROWS])
        ).numpy()
        for start in range(0, len(images), _ROWS)
    ]
    return np.concatenate(parts).astype(np.float64)
