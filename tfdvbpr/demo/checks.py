"""The demo's checks: do designs show known preferences, and does the server answer as Python does?"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tfdvbpr.data.synthetic.garments import read_colours
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.designing.sample import sample_images
from tfdvbpr.errors import RunError
from tfdvbpr.evaluation.ranking.significance import mcnemar_p
from tfdvbpr.run import GanRun, Run

SCORE_TOLERANCE = 1e-5
PIXEL_TOLERANCE = 1
_NUM_STARTS = 4
_RANDOM_SEEDS = 1_000_000
_START_SECONDS = 120.0


@dataclass(frozen=True)
class ColourCheck:
    """How often a user's favourite colours show: in the user's best design, and in a random image of its category.

    Attributes:
        num_users: pairs of images, one per user.
        designs: users whose design shows one of their favourite colours.
        random: users whose random image does.
        only_designs: users where the design does and the random image does not.
        only_random: the reverse.
        p_value: exact McNemar test, one-sided, in favour of the designs.
        mean_gain: mean rise of θᵀΦ from the start of the ascent to its end, unitless.
    """

    num_users: int
    designs: int
    random: int
    only_designs: int
    only_random: int
    p_value: float
    mean_gain: float

    @classmethod
    def of(cls, designs: npt.NDArray[np.bool_], random: npt.NDArray[np.bool_], *, mean_gain: float) -> ColourCheck:
        """McNemar's exact test of paired hits, bool [N] each."""
        only_designs, only_random = int((designs & ~random).sum()), int((random & ~designs).sum())
        return cls(
            num_users=len(designs),
            designs=int(designs.sum()),
            random=int(random.sum()),
            only_designs=only_designs,
            only_random=only_random,
            p_value=mcnemar_p(only_designs, only_random),
            mean_gain=mean_gain,
        )


def check_colours(run: Run, gan_run: GanRun, truth: pl.DataFrame, *, num_users: int, seed: int) -> ColourCheck:
    """Designs for random users, each in a random category, beside one random image G(z, c) each.

    Users are independent and each gives one pair, as McNemar's test requires. A design is the best of four starts by
    its objective, which does not depend on the truth: the simulated users' `user_id` and `favourite_colours`.
    """
    generator = np.random.default_rng(seed)
    known = truth.filter(pl.col("user_id").is_in(run.user_ids))
    rows = generator.choice(known.height, min(num_users, known.height), replace=False)
    users = [known["user_id"][int(row)] for row in rows]
    favourites = [known["favourite_colours"][int(row)].to_list() for row in rows]
    categories = [str(name) for name in generator.choice(gan_run.manifest.categories, len(users))]
    designer = Designer(run, gan_run, options=DesignOptions(num_starts=_NUM_STARTS))
    designs = designer.design(users, categories, seeds=range(seed, seed + len(users)), num_designs=1)
    random = sample_images(gan_run, categories, seeds=range(_RANDOM_SEEDS, _RANDOM_SEEDS + len(users)))
    hits = [
        np.array([colour in of for colour, of in zip(read_colours(images), favourites, strict=True)], bool)
        for images in (designs.images[:, 0], random)
    ]
    return ColourCheck.of(*hits, mean_gain=float((designs.preferences - designs.initial_preferences).mean()))


@dataclass(frozen=True)
class ServingCheck:
    """The largest differences between served answers and those in Python.

    Attributes:
        num_users: users requested.
        same_items: whether every recommendation has the same items in the same order.
        score: of scores and recommendation scores, relative to the largest score or absolute below 1.
        preference: of a design's preferences, likewise.
        pixels: of a design's images, in steps of 1/255.
    """

    num_users: int
    same_items: bool
    score: float
    preference: float
    pixels: int

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
    designs = designer.design(some, [category] * len(some), seeds=seeds)
    pixels, preference = 0, 0.0
    for row, answer in enumerate(client.design(some, [category] * len(some), seeds=seeds)):
        apart = np.abs(designs.images[row].astype(int) - answer.images.astype(int))
        pixels = max(pixels, int(apart.max()))
        preference = max(preference, _difference(designs.preferences[row], answer.preferences))
    return ServingCheck(len(users), bool(same_items), score, preference, pixels)


def _difference(expected: Any, received: Any) -> float:
    expected, received = np.asarray(expected, np.float64), np.asarray(received, np.float64)
    if expected.shape != received.shape:
        return float("inf")
    return float(np.abs(expected - received).max() / max(1.0, np.abs(expected).max()))
