"""Requests for designs, and the images for each: random and best real items, random images, designs; with scores."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.chunks import map_chunks
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.data.interactions import Split
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.optimize.objective import embed_images
from tfdvbpr.designing.sample import sample_images
from tfdvbpr.errors import RunError
from tfdvbpr.files import whole_file
from tfdvbpr.run import Run

RANDOM_REAL, RANDOM_G, RETRIEVED = "random real items", "random G", "top retrieved items"
_FIRST_SEED = 1_000_000_000
_CHUNK = 256
_BLOCK = 64
_log = logging.getLogger(__name__)

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Requests:
    """Requests for a design, one a row.

    Attributes:
        users: int64 [R], rows of users; a user's requests are consecutive.
        categories: names, one a request.
    """

    users: Ids
    categories: list[str]

    def __len__(self) -> int:
        return len(self.users)

    def mean_by_user(self, values: npt.NDArray[np.floating]) -> Floats:
        """float64 [U]: means over each user's requests, for tests over users, who are independent of each other."""
        users, positions = np.unique(self.users, return_inverse=True)
        means: Floats = np.bincount(positions, weights=values, minlength=len(users)) / np.bincount(positions)
        return means


@dataclass(frozen=True)
class PreferenceScale:
    """Mean, spread and maximum of θᵀΦ over the real items of each request's category, for its user.

    Attributes:
        means: float64 [R].
        stddevs: float64 [R], above 0.
        best: float64 [R], the highest.
        best_items: int64 [R], rows of the run's items.
    """

    means: Floats
    stddevs: Floats
    best: Floats
    best_items: Ids

    @classmethod
    def of(cls, run: Run, requests: Requests) -> PreferenceScale:
        """From a recommender that learns from pixels, and requests of its user rows."""
        categories = set(requests.categories)
        rows = {name: np.flatnonzero(run.items.category_ids == run.items.category_id(name)) for name in categories}
        means, stddevs, best, items = (np.zeros(len(requests)) for _ in range(4))
        for number, (user, name) in enumerate(zip(requests.users, requests.categories, strict=True)):
            scores = run.visual_item_embeddings[rows[name]].astype(np.float64) @ run.visual_user_embeddings[user]
            means[number], stddevs[number] = scores.mean(), max(float(scores.std()), 1e-12)
            best[number], items[number] = scores.max(), rows[name][scores.argmax()]
        return cls(means, stddevs, best, items.astype(np.int64))

    def standardise(self, preferences: npt.NDArray[np.floating]) -> Floats:
        """float64 [R]: preferences of the same requests, in standard deviations from the mean real item.

        The scale of θᵀΦ differs between users and between recommenders; this one does not.
        """
        values: Floats = (np.asarray(preferences, np.float64) - self.means) / self.stddevs
        return values


@dataclass(frozen=True)
class ScoredImages:
    """One row of the table: an image for each request, and its scores.

    Attributes:
        images: uint8 [R, H, W, 3].
        preferences: float64 [R], θᵀΦ under the first recommender.
        second_preferences: float64 [R], under the second one, or None.
        realism: float64 [R], D̂: 1 is what D classifies as real.
    """

    images: Images
    preferences: Floats
    second_preferences: Floats | None
    realism: Floats


def sample_requests(
    run: Run, categories: set[str], *, num_users: int, categories_per_user: int, min_items: int, seed: int
) -> Requests:
    """Samples users at random, each with the categories in which the user has the most training actions.

    Only the given categories count, and of those only the ones with at least `min_items` real items. Users with fewer
    such categories than `categories_per_user` come last. Equal counts are ordered at random.

    Raises:
        RunError: if no user has acted on one of these categories.
    """
    generator = np.random.default_rng((seed, 11))
    items, names = run.items, run.items.categories
    sizes = np.bincount(items.category_ids, minlength=len(names))
    usable = np.array([name in categories and size >= min_items for name, size in zip(names, sizes, strict=True)])
    users, acted = run.interactions.of(Split.TRAIN)
    counts = np.zeros((run.manifest.num_users, len(names)), np.int64)
    np.add.at(counts, (users, items.category_ids[acted]), 1)
    counts[:, ~usable] = 0
    num_categories = (counts > 0).sum(axis=1)
    if not num_categories.any():
        raise RunError(
            f"Designs are evaluated in categories of at least {min_items} items that users acted on. {run.path} has "
            "none that the GAN generates. Train both on the same dataset."
        )
    # Users with enough categories first, in random order.
    order = generator.permutation(len(num_categories))
    order = order[np.argsort(-np.minimum(num_categories[order], categories_per_user), kind="stable")]
    rows, chosen = [], []
    for user in order[:num_users]:
        ranks = np.argsort(-(counts[user] + generator.random(len(names))))  # less than 1 a tie-break
        for category in ranks[: min(categories_per_user, int(num_categories[user]))]:
            rows.append(int(user))
            chosen.append(names[category])
    return Requests(np.array(rows, np.int64), chosen)


def check_second_run(run: Run, second: Run) -> None:
    """Refuses a second recommender of another dataset, or that is the first one itself or a member of it."""
    if second.path.resolve() == run.path.resolve():
        raise RunError(
            f"`second_run` must be another run than `run`. Received {second.path} twice. "
            "Train one with another seed and backbone."
        )
    if any((one.manifest, one.config) == (second.manifest, second.config) for one in run.members):
        raise RunError(
            f"`second_run` must not be ascended. {second.path} is a member of the ensemble {run.path}. "
            "Train one with another seed and backbone."
        )
    if second.manifest.dataset_fingerprint != run.manifest.dataset_fingerprint:
        raise RunError(
            f"`second_run` must be of the dataset of `run`, {run.manifest.dataset_fingerprint}. {second.path} is of "
            f"{second.manifest.dataset_fingerprint}. Train it on the same dataset."
        )


def real_images(
    dataset: PreparedDataset, run: Run, requests: Requests, scale: PreferenceScale, *, seed: int
) -> dict[str, Images]:
    """A random real item of each request's category, and its user's best one, in images of the GAN's size.

    Items that the user has acted on are not left out.
    """
    generator = np.random.default_rng((seed, 12))
    ids = dataset.items.category_ids
    rows = {name: np.flatnonzero(ids == dataset.items.category_id(name)) for name in sorted(set(requests.categories))}
    random = np.array([generator.choice(rows[name]) for name in requests.categories])
    best = dataset.items.indices([run.items.item_ids[item] for item in scale.best_items])
    return {RANDOM_REAL: dataset.images.read(random), RETRIEVED: dataset.images.read(best)}


def random_images_and_best(designer: Designer, requests: Requests, *, seed: int) -> dict[str, Images]:
    """One random image a request, and the most preferred of its candidates, from which the ascent starts.

    The second shows what selection alone gains, without an ascent.
    """
    first = _FIRST_SEED + seed * len(requests)
    random = sample_images(designer.gan_run, requests.categories, seeds=range(first, first + len(requests)))
    users = designer.run.visual_user_embeddings[requests.users]
    best = designer.best_candidates(users, requests.categories, seeds=_seeds(requests, seed))
    return {RANDOM_G: random, f"best of {designer.options.num_candidates} random G": best}


def _seeds(requests: Requests, seed: int) -> list[int]:
    """One of the candidates of each request."""
    return [seed * len(requests) + number for number in range(len(requests))]


def generate_designs(
    designer: Designer,
    requests: Requests,
    *,
    realism_weights: tuple[float, ...],
    seed: int,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Images]:
    """The best design of each request by its objective, for every η, each time from the same starts.

    Finished blocks of 64 requests are written into the folder `cache`, if there is one, and read by a later call.
    `progress` is called with (requests done, total), from 0 for each row of the table.
    """
    return {
        f"designs η={weight:g}": _generate_row(designer, requests, weight, seed, cache, progress)
        for weight in realism_weights
    }


def _generate_row(
    designer: Designer,
    requests: Requests,
    weight: float,
    seed: int,
    cache: Path | None,
    progress: Callable[[int, int], None] | None,
) -> Images:
    """One row of the table, block by block; blocks in the cache are read."""
    seeds = _seeds(requests, seed)
    parts: list[Images] = []
    announced = False
    for start in range(0, len(requests), _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = Requests(requests.users[rows], requests.categories[rows])
        file = None if cache is None else cache / f"{_cache_key(designer, block, seeds[rows], weight)}.npy"
        if file is not None and file.is_file():
            parts.append(np.load(file, allow_pickle=False))
            continue
        if not announced:
            _log.info("Generating %d designs at η = %g.", len(requests), weight)
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


def _cache_key(designer: Designer, requests: Requests, seeds: list[int], weight: float) -> str:
    """A hash of everything that decides a block of designs."""
    runs = [(str(run.path.resolve()), run.manifest.created) for run in (designer.run, designer.gan_run)]
    request = (requests.users.tolist(), requests.categories, seeds, weight)
    text = json.dumps([runs, asdict(designer.options), request])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def score_images(
    images: Mapping[str, Images], requests: Requests, run: Run, second: Run | None, designer: Designer
) -> dict[str, ScoredImages]:
    """Scores every image for its user under one or two recommenders, and by the discriminator, from 8-bit pixels.

    `images` are uint8 [R, H, W, 3] for R requests, by the label of the table's row.
    """
    category_ids = np.array([designer.gan_run.category_id(name) for name in requests.categories], np.int32)

    def preferences(recommender: Run, images_uint8: Images) -> Floats:
        embeddings = embed_images(recommender, images_uint8).astype(np.float64)
        values: Floats = (embeddings * recommender.visual_user_embeddings[requests.users]).sum(axis=1)
        return values

    def realism(block: Images, ids: npt.NDArray[np.int32]) -> Any:
        return designer.objective.realism_logits(to_float(tf.constant(block)), tf.constant(ids))

    return {
        label: ScoredImages(
            row,
            preferences(run, row),
            None if second is None else preferences(second, row),
            map_chunks(realism, row, category_ids, chunk_rows=_CHUNK).astype(np.float64),
        )
        for label, row in images.items()
    }
