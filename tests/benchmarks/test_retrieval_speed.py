"""`recommend` over a million items of 64 numbers, against a bare matrix product and top-k; and ScaNN against both.

In the process and through gRPC, on random embeddings, which is as hard as it gets, and on clustered ones, as trained
catalogues have them. Each export and each server is a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tiny_data import checkerboard

from tfdvbpr import api
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr_serving.client import Client
from tfdvbpr_serving.server.server import LocalServer

NUM_ITEMS, NUM_USERS, DIM, K, BATCH = 1_000_000, 1_000, 64, 100, 64
NUM_CATEGORIES, SEEN_A_USER = 20, 50
SECONDS, ROUNDS, LEAST_CALLS = 0.5, 7, 2
MOST_TIMES, LEAST_RECALL, LEAST_SPEED_UP = 1.3, 0.95, 8.0
KINDS = ("clustered", "random")
SCANN = {"clustered": (1000, 100, 800), "random": (2000, 1600, 3000)}  # leaves, searched, scored exactly

_EXPORT = """
import json, sys
import numpy as np
import polars as pl
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.run import Run
from tfdvbpr_export import RecommenderOptions, ScannOptions, export_recommender
import tfdvbpr_export.recommender.heads as exporting
source, output, arrays, retrieval, leaves, search, reorder = sys.argv[1:]
run, data = Run.open(source), np.load(arrays)
users, items = data["users"], data["items"]
categories = [f"category-{n}" for n in range(int(data["num_categories"]))]
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.data.dataset import Items
table = pl.DataFrame({
    "item_id": [f"item-{n}" for n in range(len(items))],
    "category": [categories[n % len(categories)] for n in range(len(items))],
})
seen_users = np.repeat(np.arange(len(users), dtype=np.int32), data["seen"].shape[1])

class LargeRun(Run):
    factors = Factors(users, items, np.zeros(len(items), np.float32))
    user_ids = [f"user-{n}" for n in range(len(users))]
    interactions = Interactions(
        seen_users, data["seen"].ravel().astype(np.int32), np.full(len(seen_users), Split.TRAIN, np.uint8),
        len(users), len(items))
    items = Items(table, categories)

manifest = run.manifest.model_copy(
    update={"num_users": len(users), "num_items": len(items), "categories": tuple(categories)})
run = LargeRun(run.path, manifest)
exporting.Run.open = classmethod(lambda cls, path: run)
options = RecommenderOptions(
    retrieval=retrieval,
    scann=ScannOptions(
        num_leaves=int(leaves), num_leaves_to_search=int(search), num_reordering_candidates=int(reorder)))
folder = export_recommender(source, output, options=options)
print(json.dumps(json.loads((folder / "assets.extra" / "tfdvbpr.json").read_text())["retrieval"]))
"""


def _embeddings(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Users and items; clustered ones lie around 2,000 centres, and a user is near a few of them."""
    generator = np.random.default_rng(0)
    if kind == "random":
        items = generator.standard_normal((NUM_ITEMS, DIM), np.float32)
        return generator.standard_normal((NUM_USERS, DIM), np.float32), items
    centres = generator.standard_normal((2000, DIM), np.float32)
    items = centres[generator.integers(0, 2000, NUM_ITEMS)] + 0.3 * generator.standard_normal(
        (NUM_ITEMS, DIM), np.float32
    )
    liked = centres[generator.integers(0, 2000, (NUM_USERS, 3))].mean(axis=1)
    return liked + 0.2 * generator.standard_normal((NUM_USERS, DIM), np.float32), items


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retrieval")
    dataset = checkerboard(folder)
    config = recommender_config("bpr-mf", epochs=1, embedding_dim=DIM, global_batch_size=16)
    return api.train(dataset, folder / "run", config=config).path


def _export(run_path: Path, folder: Path, kind: str, retrieval: str) -> tuple[Path, dict[str, Any]]:
    users, items = _embeddings(kind)
    seen = np.random.default_rng(1).integers(0, NUM_ITEMS, (NUM_USERS, SEEN_A_USER))
    arrays = folder / f"{kind}.npz"
    np.savez(arrays, users=users, items=items, seen=np.sort(seen, axis=1), num_categories=NUM_CATEGORIES)
    output = folder / f"{kind}-{retrieval}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [
        sys.executable,
        "-c",
        _EXPORT,
        str(run_path),
        str(output),
        str(arrays),
        retrieval,
        *map(str, SCANN[kind]),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return output, json.loads(done.stdout.splitlines()[-1])


def _rates(ways: Mapping[str, tuple[Callable[[], object], int]]) -> dict[str, float]:
    """Rows a second of each way of asking: medians over rounds in which all take turns.

    Args:
        ways: by name, what asks once, and for how many rows.
    """
    for ask, _ in ways.values():
        ask()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (ask, rows) in ways.items():
            began, calls = time.perf_counter(), 0
            while calls < LEAST_CALLS or time.perf_counter() - began < SECONDS:
                ask()
                calls += 1
            found[name].append(calls * rows / (time.perf_counter() - began))
    return {name: float(np.median(rates)) for name, rates in found.items()}


def _request(rows: int, *, category: str = "") -> dict[str, Any]:
    return {
        "user_ids": tf.constant([f"user-{n}" for n in range(rows)]),
        "k": tf.fill([rows], K),
        "categories": tf.fill([rows], category),
        "exclude_item_ids": tf.fill([rows, 1], ""),
        "exclude_seen": tf.fill([rows], True),
        "filters": tf.fill([rows, 1], ""),
    }


def _ways(name: str, recommend: Any, client: Client) -> dict[str, tuple[Callable[[], object], int]]:
    ids = [f"user-{number}" for number in range(BATCH)]
    ways: dict[str, tuple[Callable[[], object], int]] = {}
    for rows in (1, BATCH):
        asked = _request(rows)
        ways[f"{name} {rows}"] = (lambda asked=asked: recommend(**asked)), rows
        ways[f"{name} grpc {rows}"] = (lambda rows=rows: client.recommend(ids[:rows], k=K)), rows
    in_category = _request(BATCH, category="category-3")
    ways[f"{name} category"] = (lambda: recommend(**in_category)), BATCH
    return ways


@pytest.mark.parametrize("kind", KINDS)
def test_a_million_items(run_path: Path, tmp_path: Path, kind: str) -> None:
    exact, _ = _export(run_path, tmp_path, kind, "brute-force")
    approximate, about = _export(run_path, tmp_path, kind, "scann")
    from scann.scann_ops.py import scann_ops  # noqa: F401  # its ops are needed to load the model

    users, items = _embeddings(kind)
    table = tf.Variable(items)
    bare = tf.function(lambda queries: tf.math.top_k(tf.matmul(queries, table, transpose_b=True), K), autograph=False)
    queries = {rows: tf.constant(users[:rows]) for rows in (1, BATCH)}
    ways: dict[str, tuple[Callable[[], object], int]] = {
        f"bare {rows}": ((lambda rows=rows: bare(queries[rows])), rows) for rows in queries
    }
    folders = {"exact": exact, "scann": approximate}
    models = {name: tf.saved_model.load(str(folder / "1")) for name, folder in folders.items()}
    with LocalServer(folders) as server, ExitStack() as clients:
        for name, model in models.items():
            client = clients.enter_context(Client(server.target, recommender_name=name))
            ways |= _ways(name, model.signatures["recommend"], client)
        rates = _rates(ways)
    print(f"\n{kind}, users a second: " + ", ".join(f"{name}: {rate:,.0f}" for name, rate in rates.items()))
    print(f"{kind}: recall@{about['recall_k']} {about['recall']} of {about['scann']}")
    times = {rows: rates[f"bare {rows}"] / rates[f"exact {rows}"] for rows in (1, BATCH)}
    in_category = rates[f"bare {BATCH}"] / rates["exact category"]
    faster = {
        way: rates[f"scann {way}"] / rates[f"exact {way}"] for way in ("1", f"{BATCH}", "grpc 1", f"grpc {BATCH}")
    }
    print(f"{kind}: brute force takes {times} times the bare product, in a category {in_category:.2f} times")
    print(f"{kind}: ScaNN is so many times as fast: {faster}")
    assert max(*times.values(), in_category) <= MOST_TIMES
    assert about["recall"] >= LEAST_RECALL
    if kind == "clustered":  # among random directions there is no structure to be used
        assert min(faster.values()) >= LEAST_SPEED_UP
