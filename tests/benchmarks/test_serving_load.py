"""The local server under load from a second process, and what it adds to a call inside the process.

`recommend` (k = 10) and `score` (20 items), one row a request, over 50,000 items of 64 factors.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from serving_bench import load, save_catalogue, served
from serving_requests import inputs_of

OVERHEAD_MS = 1.5
BATCHING = Path(__file__).parents[2] / "serving" / "batching.config"
SIGNATURES = ("recommend", "score")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue") / "recommender"
    save_catalogue(folder / "1")
    return folder


def in_process_ms(folder: Path, signature: str) -> float:
    """The median of a call from NumPy to NumPy, by TensorFlow's public way."""
    loaded = tf.saved_model.load(str(folder / "1"))
    function, times = loaded.signatures[signature], []
    for number in range(400):
        inputs = inputs_of(signature, number)
        start = time.perf_counter()
        outputs = function(**{name: tf.constant(array) for name, array in inputs.items()})
        _ = {name: tensor.numpy() for name, tensor in outputs.items()}
        times.append(time.perf_counter() - start)
    return float(np.median(times[100:]) * 1e3)


def test_latency_throughput_and_overhead(folder: Path) -> None:
    alone = {signature: in_process_ms(folder, signature) for signature in SIGNATURES}
    overheads = []
    for name, options in (
        ("batching, no timeout", []),
        (
            "batching, 2 ms timeout",
            ["--batching-config", str(Path(__file__).parents[2] / "serving" / "batching.config")],
        ),
        ("no batching", ["--no-batching"]),
    ):
        with served(str(folder), *options) as server:
            for signature in SIGNATURES:
                for concurrency in (1, 8, 32):
                    found = load(server.target, signature, concurrency=concurrency, seconds=4)
                    overhead = found["p50_ms"] - alone[signature]
                    print(
                        f"{name:24} {signature:10} {concurrency:2} at once: p50 {found['p50_ms']:7.2f} ms, "
                        f"p99 {found['p99_ms']:7.2f} ms, {found['per_second']:7.0f}/s; "
                        f"in process {alone[signature]:.2f} ms, overhead {overhead:+.2f} ms"
                    )
                    if concurrency == 1 and "timeout" not in name.replace("no timeout", ""):
                        overheads.append(overhead)
    assert len(overheads) == 4
    assert max(overheads) <= OVERHEAD_MS
