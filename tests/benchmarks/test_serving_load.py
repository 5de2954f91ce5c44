"""The local server under load from a second process, and what it adds to a call inside the process.

What it adds is held against a call of the same server that computes nothing, which is gRPC's own part.
`recommend` (k = 10) and `score` (20 items), one row a request, over 50,000 items of 64 factors.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import tensorflow as tf
from serving_bench import Served, load, save_catalogue, served
from serving_requests import STATUS, inputs_of

MOST_TIMES = 3.0  # what a prediction adds, to a call that computes nothing
BATCHING = Path(__file__).parents[2] / "serving" / "tfdvbpr_serving" / "deployment" / "batching.config"
SECONDS, TURNS = 3, 3  # in the process and through the server by turns, of which the median counts
SIGNATURES = ("recommend", "score")
SETTINGS = {  # text of a batching.config
    "batching": "",
    "no batching": "max_batch_size { value: 1 } max_enqueued_batches { value: 64 }",
    "batching.config's timeout": BATCHING.read_text(),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue") / "recommender"
    save_catalogue(folder / "1")
    return folder


def in_process(folder: Path, signature: str) -> dict[str, float]:
    """Milliseconds of a call from NumPy to NumPy by TensorFlow's public way: by the clock, and of processor time."""
    loaded = tf.saved_model.load(str(folder / "1"))
    function, times = loaded.signatures[signature], []
    for number in range(100, 600):
        inputs = inputs_of(signature, number)
        start = time.perf_counter()
        outputs = function(**{name: tf.constant(array) for name, array in inputs.items()})
        _ = {name: tensor.numpy() for name, tensor in outputs.items()}
        times.append(time.perf_counter() - start)
        if number == 199:
            cpu = time.process_time()
    cpu = time.process_time() - cpu
    ms = np.array(times[100:]) * 1e3
    return {"p5_ms": float(np.percentile(ms, 5)), "p50_ms": float(np.median(ms)), "cpu_ms": cpu * 1e3 / len(ms)}


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


@pytest.mark.parametrize("name", SETTINGS)
def test_latency_throughput_and_overhead(folder: Path, name: str) -> None:
    """The overhead counts for one request at a time; the others are to be read."""
    times_bare = []
    (folder.parent / "batching.config").write_text(SETTINGS[name])
    with served(str(folder), "--batching-config", str(folder.parent / "batching.config")) as server:
        for signature in SIGNATURES:
            turns = [(in_process(folder, signature), _served(server, signature, 1)) for _ in range(TURNS)]
            alone, one = (
                sorted(found, key=lambda each: each["p50_ms"])[TURNS // 2] for found in zip(*turns, strict=True)
            )
            bare = _served(server, STATUS, 1)["p50_ms"]
            added = one["p50_ms"] - alone["p50_ms"]
            times_bare.append(added / bare)
            print(
                f"\n{signature} in process: p5 {alone['p5_ms']:.2f} ms, p50 {alone['p50_ms']:.2f} ms, "
                f"processor {alone['cpu_ms']:.2f} ms; the server adds {added:+.2f} ms at p50, a call that computes "
                f"nothing takes {bare:.2f} ms"
            )
            for concurrency in (1, 8, 32):
                found = one if concurrency == 1 else _served(server, signature, concurrency)
                print(
                    f"{name:22} {signature:10} {concurrency:2} at once: p5 {found['p5_ms']:6.2f} ms, "
                    f"p50 {found['p50_ms']:6.2f} ms, p99 {found['p99_ms']:7.2f} ms, {found['per_second']:5.0f}/s; "
                    f"processor {found['cpu_ms']:.2f} ms"
                )
    if "timeout" not in name:  # a batch timeout makes a lone request wait, as it says
        assert max(times_bare) <= MOST_TIMES


def _served(server: Served, signature: str, concurrency: int) -> dict[str, float]:
    """Milliseconds of a call from a second process, and of the server's processor time."""
    before = cpu_seconds(server.pid)
    found = load(server.target, signature, concurrency=concurrency, seconds=SECONDS)
    calls = found["per_second"] * SECONDS + 100  # those that warm up
    return {**found, "cpu_ms": (cpu_seconds(server.pid) - before) * 1e3 / calls}
