"""Recommendations take about as long while designs are computed: designs leave a processor core to them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
from serving_bench import save_catalogue, served
from serving_requests import request_of

from tfdvbpr_serving.protocol import messages

CALLERS, MOST_RATIO = 2, 3.0
TURNS, SECONDS = 5, 8.0  # alone and beside designs by turns, so that other work on the machine slows down both


def test_two_design_callers(tmp_path: Path) -> None:
    from hostile_requests import good_request, set_all
    from serving_toy_models import save_designer

    save_catalogue(tmp_path / "recommender" / "1")
    save_designer(tmp_path / "designer" / "1", work=250)
    design = good_request(np.random.default_rng(0), "design", rows=1)
    set_all(design, "num_steps", 2000)
    with served(str(tmp_path / "recommender"), str(tmp_path / "designer")) as server:
        alone: list[list[float]] = []
        beside: list[list[float]] = []
        for _ in range(TURNS):
            alone.append(_seconds(server.target))
            with _designing(server.target, design.SerializeToString()):
                beside.append(_seconds(server.target))
    for name, turns in (("alone", alone), (f"beside {CALLERS} design callers", beside)):
        p50, p99 = 1000 * np.percentile(np.concatenate(turns), [50, 99])
        medians = ", ".join(f"{1000 * np.median(turn):.1f}" for turn in turns)
        print(f"recommend {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, {sum(map(len, turns))} requests; turns {medians}")
    ratio = float(np.median(np.concatenate(beside)) / np.median(np.concatenate(alone)))
    print(f"ratio of p50: {ratio:.2f}")
    assert ratio <= MOST_RATIO


@contextmanager
def _designing(target: str, request: bytes) -> Iterator[None]:
    """`CALLERS` ask for one design after the other while the block runs."""
    stopping = threading.Event()
    threads = [threading.Thread(target=_call_until, args=(target, request, stopping)) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def _seconds(target: str) -> list[float]:
    """Of requests one after the other."""
    found: list[float] = []
    with grpc.insecure_channel(target) as channel:
        predict = channel.unary_unary(messages.PREDICT)
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            request = request_of("recommend", len(found))
            start = time.perf_counter()
            predict(request, timeout=60)
            found.append(time.perf_counter() - start)
    return found


def _call_until(target: str, request: bytes, stopping: threading.Event) -> None:
    with grpc.insecure_channel(target) as channel:
        while not stopping.is_set():
            channel.unary_unary(messages.PREDICT)(request, timeout=120)
