"""Whom designs are made for, and in which categories; and what the real items of a category are worth to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.interactions import Split
from tfdvbpr.errors import RunError
from tfdvbpr.run import Run

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Requests:
    """A design a row.

    Attributes:
        users: int64 [R], rows of users; a user's requests stand together.
        categories: names, one a request.
    """

    users: Ids
    categories: list[str]

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Standard:
    """The mean and the spread of θᵀΦ over the real items of each request's category, to its user.

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

    def standardised(self, preferences: npt.NDArray[np.floating]) -> Floats:
        """float64 [R]: preferences of the same requests, in standard deviations from the mean real item.

        What a θᵀΦ is worth differs between users and between recommenders; this is worth the same everywhere.
        """
        values: Floats = (np.asarray(preferences, np.float64) - self.means) / self.stddevs
        return values


def most_bought(
    run: Run, categories: set[str], *, num_users: int, categories_per_user: int, least_items: int, seed: int
) -> Requests:
    """Requests for users drawn at random, each in the categories she has acted on most often in training.

    Users who have acted on fewer categories than asked for are drawn only where there are too few others. Equal counts
    are ordered at random.

    Args:
        run: the recommender.
        categories: only these.
        num_users: at most.
        categories_per_user: at most.
        least_items: only categories with as many real items.
        seed: of users and ties.

    Raises:
        RunError: if nobody has acted on one of these categories.
    """
    generator = np.random.default_rng((seed, 11))
    items, names = run.items, run.items.categories
    sizes = np.bincount(items.category_ids, minlength=len(names))
    usable = np.array([name in categories and size >= least_items for name, size in zip(names, sizes, strict=True)])
    users, acted = run.interactions.of(Split.TRAIN)
    counts = np.zeros((run.manifest.num_users, len(names)), np.int64)
    np.add.at(counts, (users, items.category_ids[acted]), 1)
    counts[:, ~usable] = 0
    bought = (counts > 0).sum(axis=1)
    if not bought.any():
        raise RunError(
            f"Designs are judged in categories of at least {least_items} items that users acted on. {run.path} has "
            "none that the GAN draws. Train both on the same dataset."
        )
    # Those with enough categories first, in random order.
    order = generator.permutation(len(bought))
    order = order[np.argsort(-np.minimum(bought[order], categories_per_user), kind="stable")]
    rows, chosen = [], []
    for user in order[:num_users]:
        ranks = np.argsort(-(counts[user] + generator.random(len(names))))  # less than 1 a tie-break
        for category in ranks[: min(categories_per_user, int(bought[user]))]:
            rows.append(int(user))
            chosen.append(names[category])
    return Requests(np.array(rows, np.int64), chosen)


def standard_of(run: Run, requests: Requests) -> Standard:
    """What the real items of each request's category are worth to its user, by θᵀΦ alone.

    Args:
        run: a recommender that learns from pixels.
        requests: whose users it knows by row.
    """
    rows = {
        name: np.flatnonzero(run.items.category_ids == run.items.category_id(name)) for name in set(requests.categories)
    }
    means, stddevs, best, items = (np.zeros(len(requests)) for _ in range(4))
    for number, (user, name) in enumerate(zip(requests.users, requests.categories, strict=True)):
        scores = run.looks[rows[name]].astype(np.float64) @ run.tastes[user]
        means[number], stddevs[number] = scores.mean(), max(float(scores.std()), 1e-12)
        best[number], items[number] = scores.max(), rows[name][scores.argmax()]
    return Standard(means, stddevs, best, items.astype(np.int64))


def check_second(run: Run, second: Run) -> None:
    """Refuses a second recommender that cannot say what the first one's users think, or is the first one itself.

    Raises:
        RunError: if the runs are of different datasets or are the same.
    """
    if second.path.resolve() == run.path.resolve():
        raise RunError(
            f"`second_run` must be another run than `run`. Received {second.path} twice. "
            "Train one with another seed and backbone."
        )
    if second.manifest.dataset_fingerprint != run.manifest.dataset_fingerprint:
        raise RunError(
            f"`second_run` must be of the dataset of `run`, {run.manifest.dataset_fingerprint}. {second.path} is of "
            f"{second.manifest.dataset_fingerprint}. Train it on the same dataset."
        )


def over_users(requests: Requests, values: npt.NDArray[np.floating]) -> Floats:
    """float64 [U]: a user's mean over her requests, for tests over users, who are independent as requests are not."""
    users, places = np.unique(requests.users, return_inverse=True)
    means: Floats = np.bincount(places, weights=values, minlength=len(users)) / np.bincount(places)
    return means
