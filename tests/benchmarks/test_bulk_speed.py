"""Recommendations for many users against a bare blocked product with a top k, and the memory that they take.

The bare loop is what would be written by hand: blocks of users, `argpartition` and a sort of k scores; it masks nothing
and writes nothing. Both run in one process, in turn, on as many threads.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.run import bulk
from tfdvbpr.run.bulk import recommend_all
from tfdvbpr.run.recommender_run import Run

NUM_USERS, NUM_ITEMS, DIM, ACTIONS, K = 40_000, 50_000, 64, 20, 50
ROUNDS, BLOCK = 3, 256
MOST_TIMES, MOST_BYTES = 1.3, 2 << 30


class _Shop(Run):
    """A run in memory."""

    def __init__(self, folder: Path) -> None:
        generator = np.random.default_rng(0)
        users = np.repeat(np.arange(NUM_USERS, dtype=np.int32), ACTIONS)
        items = generator.integers(0, NUM_ITEMS, len(users), dtype=np.int32)
        splits = np.full(len(users), Split.TRAIN, np.uint8)
        self.path = folder
        self.interactions = Interactions(users, items, splits, NUM_USERS, NUM_ITEMS)  # type: ignore[misc]
        self.factors = Factors(  # type: ignore[misc]
            generator.standard_normal((NUM_USERS, DIM), np.float32),
            generator.standard_normal((NUM_ITEMS, DIM), np.float32),
            generator.standard_normal(NUM_ITEMS, np.float32),
        )
        self.user_ids = [f"u{user}" for user in range(NUM_USERS)]  # type: ignore[misc]
        self.manifest = _Sizes  # type: ignore[assignment]
        for name in ("manifest.json", "factors.npz"):
            (folder / name).write_bytes(b"")

    def allowed_items(self, **_: object) -> np.ndarray:
        """All of them."""
        return np.ones(NUM_ITEMS, bool)

    @property
    def items(self) -> object:  # type: ignore[override]
        """The ids alone."""
        return _Names


class _Sizes:
    num_users = NUM_USERS


class _Names:
    item_ids = tuple(f"i{item}" for item in range(NUM_ITEMS))


def _bare(factors: Factors) -> None:
    own = np.concatenate([factors.user_embeddings, np.ones((NUM_USERS, 1), np.float32)], axis=1)
    items = np.concatenate([factors.item_embeddings, factors.item_biases[:, None]], axis=1)

    def block(start: int) -> tuple[np.ndarray, np.ndarray]:
        scores = own[start : start + BLOCK] @ items.T
        best = np.argpartition(scores, NUM_ITEMS - K, axis=1)[:, -K:]
        found = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-found, axis=1)
        return np.take_along_axis(best, order, axis=1), np.take_along_axis(found, order, axis=1)

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(block, range(0, NUM_USERS, BLOCK)))


def _products(factors: Factors) -> None:
    """The products alone, for scale."""
    own, items = factors.user_embeddings, factors.item_embeddings
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda start: (own[start : start + BLOCK] @ items.T)[0, 0], range(0, NUM_USERS, BLOCK)))


def test_many_users_cost_little_more_than_a_bare_product_and_top_k(tmp_path: Path) -> None:
    shop = _Shop(tmp_path)
    seconds: dict[str, list[tuple[float, float]]] = {"bare": [], "products": [], "parquet": [], "csv": []}
    for number in range(ROUNDS):
        for name, each in seconds.items():
            wall, cpu = time.perf_counter(), time.process_time()
            if name == "bare":
                _bare(shop.factors)
            elif name == "products":
                _products(shop.factors)
            else:
                recommend_all(shop, tmp_path / f"{number}.{name}", k=K)
            each.append((time.perf_counter() - wall, time.process_time() - cpu))
    walls, cpus = ({name: min(pair[which] for pair in each) for name, each in seconds.items()} for which in (0, 1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for name in seconds:
        print(
            f"{name}: {walls[name]:.1f} s, {NUM_USERS / walls[name]:,.0f} users/s, {cpus[name]:.1f} s of processors; "
            f"of the bare one's {walls[name] / walls['bare']:.2f} and {cpus[name] / cpus['bare']:.2f}"
        )
    print(f"peak memory of the process with the bare loop in it: {peak / 2**20:.0f} MiB")
    assert pl.read_parquet(tmp_path / "0.parquet").height == NUM_USERS * K
    assert min(walls["parquet"] / walls["bare"], cpus["parquet"] / cpus["bare"]) <= MOST_TIMES
    assert peak <= MOST_BYTES


_KILLED = """
import os, signal, sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from test_bulk_speed import NUM_USERS, _Shop
from tfdvbpr.run import bulk
bulk._PART_ENTRIES = 1 << 16
def stop(done, _):
    if done > 5000:
        os.kill(os.getpid(), signal.SIGKILL)
bulk.recommend_all(_Shop(Path(sys.argv[1])), Path(sys.argv[1]) / "mail.csv", k=50, progress=stop)
"""


def test_a_killed_process_is_continued(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path), *sys.path], check=False)
    assert done.returncode == -9
    assert not (tmp_path / "mail.csv").exists()
    bulk._PART_ENTRIES, before = 1 << 16, bulk._PART_ENTRIES
    try:
        result = recommend_all(_Shop(tmp_path), tmp_path / "mail.csv", k=K)
    finally:
        bulk._PART_ENTRIES = before
    assert result.num_resumed > 5000
    recommend_all(_Shop(tmp_path), tmp_path / "whole.csv", k=K)
    assert (tmp_path / "mail.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
