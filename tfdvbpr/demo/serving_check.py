"""Exports both runs, serves them, and holds the served answers against the ones in Python."""

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

from tfdvbpr.designing.designer import Designer
from tfdvbpr.errors import RunError
from tfdvbpr.run import Run

SCORE_TOLERANCE = 1e-5
PIXEL_TOLERANCE = 1
_START_SECONDS = 120.0


@dataclass(frozen=True)
class ServingCheck:
    """The largest differences between the served responses and Python's.

    Attributes:
        num_users: users of the requests.
        same_items: whether every recommendation names the same items in the same order.
        score: of scores and recommendation scores, relative to the largest score or absolute below 1.
        preference: of a design's preferences, likewise.
        pixels: of the images of a design, in steps of 1/255.
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


def export(kind: str, arguments: Sequence[str]) -> None:
    """Runs `tfdvbpr-export KIND ...` in a process of its own.

    Raises:
        RunError: with the exporter's own words, if it fails.
    """
    command = [sys.executable, "-m", "tfdvbpr_export.cli", kind, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise RunError(f"Exporting the {kind} failed: {said[-1]}")


@contextmanager
def served(folders: Sequence[Path]) -> Iterator[Any]:
    """Starts `tfdvbpr-serve` on a free port and yields a client of it.

    Raises:
        RunError: if the server does not come up.
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


def compare(
    client: Any, run: Run, designer: Designer, *, users: Sequence[str], category: str, k: int = 10
) -> ServingCheck:
    """Asks the server and Python for the same scores, recommendations and seeded designs."""
    item_ids = run.items.item_ids[:50]
    ours = run.score(users, item_ids)
    theirs = client.score(list(users), [item_ids] * len(users)).scores
    score = _difference(ours, theirs)
    same_items = True
    for answer in client.recommend(list(users), k=k):
        expected = run.recommend(answer.user_id, k=k)
        same_items &= [row.item_id for row in expected] == list(answer.item_ids)
        score = max(score, _difference(np.array([row.score for row in expected]), answer.scores))
    chosen = list(users[:2])
    seeds = list(range(len(chosen)))
    expected_designs = designer.design(chosen, [category] * len(chosen), seeds=seeds)
    pixels, preference = 0, 0.0
    for row, answer in enumerate(client.design(chosen, [category] * len(chosen), seeds=seeds)):
        apart = np.abs(expected_designs.images[row].astype(int) - answer.images.astype(int))
        pixels = max(pixels, int(apart.max()))
        preference = max(preference, _difference(expected_designs.preferences[row], answer.preferences))
    return ServingCheck(len(users), bool(same_items), score, preference, pixels)


def _difference(expected: Any, received: Any) -> float:
    expected, received = np.asarray(expected, np.float64), np.asarray(received, np.float64)
    if expected.shape != received.shape:
        return float("inf")
    return float(np.abs(expected - received).max() / max(1.0, np.abs(expected).max()))
