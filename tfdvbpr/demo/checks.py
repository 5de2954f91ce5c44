"""The demo's checks: do designs show known preferences, and does the server answer as Python does?"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tfdvbpr.data.interactions import Split
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.designing.sample import sample_images
from tfdvbpr.errors import RunError
from tfdvbpr.evaluation.designs.attribute_reader import AttributeReader
from tfdvbpr.evaluation.designs.baselines import RETRIEVED, PreferenceScale, Requests, real_images
from tfdvbpr.evaluation.designs.known_attributes import Hits, liked_attributes
from tfdvbpr.evaluation.ranking.significance import holm, mcnemar_p
from tfdvbpr.run import GanRun, Run

SCORE_TOLERANCE = 1e-5
PIXEL_TOLERANCE = 1
_RANDOM_SEEDS = 1_000_000
_START_SECONDS = 120.0
_COMPARED_STEPS = 1


@dataclass(frozen=True)
class AttributeTest:
    """How often designs show what users are known to like of one attribute, and random images of the same categories.

    Attributes:
        designs: users whose design shows it.
        random: users whose random image does.
        only_designs: users where the design does and the random image does not.
        only_random: the reverse.
        p_value: exact McNemar test, one-sided, in favour of the designs; adjusted for the number of attributes by
            Holm's procedure.
        items: users whose best real item shows it: how much the recommender has learned.
        reader_accuracy: share of held-out items of which the attribute is read correctly.
    """

    designs: int
    random: int
    only_designs: int
    only_random: int
    p_value: float
    items: int
    reader_accuracy: float


@dataclass(frozen=True)
class PreferenceCheck:
    """Whether designs show the colours, patterns and cuts that their users are known to like.

    Attributes:
        num_users: users, of each a design, a random image and a real item.
        tests: by attribute.
        mean_gain: mean rise of θᵀΦ from the start of the ascent to its end, unitless.
    """

    num_users: int
    tests: dict[str, AttributeTest]
    mean_gain: float

    @classmethod
    def of(
        cls,
        designs: Mapping[str, Hits],
        random: Mapping[str, Hits],
        items: Mapping[str, Hits],
        *,
        reader_accuracy: Mapping[str, float],
        mean_gain: float,
    ) -> PreferenceCheck:
        """McNemar's exact test of paired hits by attribute, bool [N] each."""
        only = {
            name: (int((designs[name] & ~random[name]).sum()), int((random[name] & ~designs[name]).sum()))
            for name in designs
        }
        adjusted = holm([mcnemar_p(*counts) for counts in only.values()])
        tests = {
            name: AttributeTest(
                designs=int(designs[name].sum()),
                random=int(random[name].sum()),
                only_designs=counts[0],
                only_random=counts[1],
                p_value=float(p_value),
                items=int(items[name].sum()),
                reader_accuracy=reader_accuracy[name],
            )
            for (name, counts), p_value in zip(only.items(), adjusted, strict=True)
        }
        return cls(len(next(iter(designs.values()))), tests, mean_gain)


def favourite_category(run: Run, user: int, categories: Sequence[str]) -> str | None:
    """The one of the categories in which a user has most training items; None if the user has none in any."""
    names = run.items.table["category"].gather(run.seen_items(user, Split.TRAIN))
    counts = Counter(name for name in names if name in categories)
    return counts.most_common(1)[0][0] if counts else None


def check_preferences(
    run: Run,
    gan_run: GanRun,
    truth: pl.DataFrame,
    reader: AttributeReader,
    *,
    num_users: int,
    options: DesignOptions,
    seed: int,
) -> PreferenceCheck:
    """Designs for random users, each in its favourite category, beside one random image G(z, c) each.

    Users are independent and each gives one pair, as McNemar's test requires. A design is the best of its starts by its
    objective, which does not depend on the truth. What is liked is as in `liked_names`.
    """
    sampled = truth.filter(pl.col("user_id").is_in(run.user_ids)).sample(fraction=1.0, shuffle=True, seed=seed)
    rows = run.user_indices(sampled["user_id"].to_list()).tolist()
    found = [favourite_category(run, row, gan_run.trained_categories) for row in rows]
    sampled = sampled.with_columns(category=pl.Series(found, dtype=pl.String)).drop_nulls("category").head(num_users)
    users, categories = sampled["user_id"].to_list(), sampled["category"].to_list()
    designer = Designer(run, gan_run, options=options)
    designs = designer.design(users, categories, seeds=range(seed, seed + len(users)), num_designs=1)
    random = sample_images(gan_run, categories, seeds=range(_RANDOM_SEEDS, _RANDOM_SEEDS + len(users)))
    requests = Requests(run.user_indices(users).astype(np.int64), categories)
    scale = PreferenceScale.of(run, requests)
    items = real_images(reader.dataset, run, requests, scale, seed=seed)[RETRIEVED]
    shown = [
        liked_attributes(reader.read(images, categories), sampled, categories)
        for images in (designs.images[:, 0], random, items)
    ]
    gain = float((designs.preferences - designs.initial_preferences).mean())
    return PreferenceCheck.of(*shown, reader_accuracy=reader.accuracy, mean_gain=gain)


@dataclass(frozen=True)
class ServingCheck:
    """The largest differences between served answers and those in Python.

    Attributes:
        num_users: users requested.
        same_items: whether every recommendation has the same items in the same order.
        score: of scores and recommendation scores, relative to the largest score or absolute below 1.
        preference: of the preferences of designs after one step, likewise.
        pixels: of their images, in steps of 1/255.
        pixels_of_designs: the same after all steps, which decides nothing: what two graphs round in another way grows
            from step to step, as it does between two batch sizes.
    """

    num_users: int
    same_items: bool
    score: float
    preference: float
    pixels: int
    pixels_of_designs: int

    @property
    def equal(self) -> bool:
        """Whether all of it is within tolerance: 1e-5, and 1/255 for pixels."""
        return (
            self.same_items and max(self.score, self.preference) <= SCORE_TOLERANCE and self.pixels <= PIXEL_TOLERANCE
        )


@contextmanager
def served(folders: Sequence[Path]) -> Iterator[Any]:
    """Starts `tfdvbpr-serve` on a free port and yields a client of it.

    Raises:
        RunError: if the server does not start.
    """
    from tfdvbpr_serving.client import Client
    from tfdvbpr_serving.errors import ServingError

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tfdvbpr_serving.cli", *map(str, folders), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with Client(f"127.0.0.1:{port}") as client:
            try:
                client.wait_until_ready(timeout_seconds=_START_SECONDS)
            except ServingError as error:
                raise RunError(
                    f"The local server did not start ({error}). Run {' '.join(command)} to see why."
                ) from None
            yield client
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()


def check_served(
    client: Any, run: Run, designer: Designer, *, users: Sequence[str], category: str, k: int = 10
) -> ServingCheck:
    """Requests the same scores, recommendations and seeded designs of the server and of Python."""
    item_ids = run.items.item_ids[:50]
    served_scores = client.score(list(users), [item_ids] * len(users)).scores
    score = _difference(run.score(users, item_ids), served_scores)
    same_items = True
    for answer in client.recommend(list(users), k=k):
        expected = run.recommend(answer.user_id, k=k)
        same_items &= [row.item_id for row in expected] == list(answer.item_ids)
        score = max(score, _difference(np.array([row.score for row in expected]), answer.scores))
    some = list(users[:2])
    seeds = list(range(len(some)))
    pixels, preference = _design_differences(client, designer, some, category, seeds, num_steps=_COMPARED_STEPS)
    pixels_of_designs, _ = _design_differences(client, designer, some, category, seeds, num_steps=None)
    return ServingCheck(len(users), bool(same_items), score, preference, pixels, pixels_of_designs)


def _design_differences(
    client: Any, designer: Designer, users: Sequence[str], category: str, seeds: Sequence[int], *, num_steps: int | None
) -> tuple[int, float]:
    """The largest differences of pixels, in steps of 1/255, and of preferences, between Python's and served designs."""
    categories = [category] * len(users)
    designs = designer.design(users, categories, seeds=seeds, num_steps=num_steps)
    responses = client.design(users, categories, seeds=seeds, num_steps=num_steps)
    pixels, preference = 0, 0.0
    for row, response in enumerate(responses):
        apart = np.abs(designs.images[row].astype(int) - response.images.astype(int))
        pixels = max(pixels, int(apart.max()))
        preference = max(preference, _difference(designs.preferences[row], response.preferences))
    return pixels, preference


def _difference(expected: Any, received: Any) -> float:
    expected, received = np.asarray(expected, np.float64), np.asarray(received, np.float64)
    if expected.shape != received.shape:
        return float("inf")
    return float(np.abs(expected - received).max() / max(1.0, np.abs(expected).max()))
