"""Recommendations take about as long while designs are computed: designs leave a processor core to them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import grpc
import numpy as np
from serving_bench import save_catalogue, served
from serving_requests import request_of

from tfdvbpr_serving.protocol import messages

CALLERS, SECONDS, MOST_RATIO = 2, 20.0, 3.0


def test_two_design_callers(tmp_path: Path) -> None:
    from hostile_requests import good_request, set_all
    from serving_toy_models import save_designer

    save_catalogue(tmp_path / "recommender" / "1")
    save_designer(tmp_path / "designer" / "1", work=250)
    design = good_request(np.random.default_rng(0), "design", rows=1)
    set_all(design, "num_steps", 2000)
    with served(str(tmp_path / "recommender"), str(tmp_path / "designer")) as server:
        before = _seconds(server.target)
        stopping = threading.Event()
        threads = [
            threading.Thread(target=_call_until, args=(server.target, design.SerializeToString(), stopping))
            for _ in range(CALLERS)
        ]
        for thread in threads:
            thread.start()
        time.sleep(1)
        meanwhile = _seconds(server.target)
        stopping.set()
        for thread in threads:
            thread.join()
    for name, seconds in (("alone", before), (f"beside {CALLERS} design callers", meanwhile)):
        p50, p99 = 1000 * np.percentile(seconds, [50, 99])
        print(f"recommend {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, {len(seconds)} requests")
    assert np.median(meanwhile) <= MOST_RATIO * np.median(before)


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
