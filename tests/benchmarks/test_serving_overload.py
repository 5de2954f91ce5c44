"""Far more callers than the server has places for: it says that it is full, and the client knows what that means.

Each process is one connection with many calls at once, each of which is made again as soon as it has ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving_bench import HERE, environment, save_catalogue, served

PROCESSES, CALLERS, SECONDS = 8, 300, 10.0  # 2,400 callers of a server with 256 places


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue") / "recommender"
    save_catalogue(folder / "1")
    return folder


def test_a_full_server_says_so(folder: Path) -> None:
    with served(str(folder), "--rest-port", "0") as server:
        before = _outcomes(server.target, processes=1, callers=8)
        with (
            HealthChecks(partial(_grpc_health, server.target)) as checks,
            HealthChecks(partial(_rest_health, server.rest_url)) as rest_checks,
        ):
            found = _outcomes(server.target, processes=PROCESSES, callers=CALLERS)
        after = _outcomes(server.target, processes=1, callers=8)
    for name, each in (("before", before), (f"{PROCESSES} x {CALLERS} callers", found), ("after", after)):
        print(f"{name}: {each}")
    print(f"health over gRPC: {checks}\nhealth over REST: {rest_checks}")
    statuses = found["statuses"]
    assert set(statuses) == {"OK", "RESOURCE_EXHAUSTED"}
    assert {error.split(":")[0] for error in found["errors"]} == {"ServerBusyError"}
    assert checks.failed == rest_checks.failed == []
    assert statuses["OK"] > before["statuses"]["OK"] / 3  # refusing takes no more than the rest
    assert set(after["statuses"]) == {"OK"}


def _outcomes(target: str, *, processes: int, callers: int) -> dict[str, Any]:
    """Calls of all processes together by status and error, and the processes' p50s."""
    command = [sys.executable, str(HERE / "serving_overload_client.py"), target, str(callers), str(SECONDS)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) for _ in range(processes)
    ]
    found = [json.loads(process.communicate(timeout=300)[0]) for process in running]
    statuses, errors = (sum((Counter(one[name]) for one in found), Counter()) for name in ("statuses", "errors"))
    return {"statuses": dict(statuses), "errors": dict(errors), "p50_ms": [one["p50_ms"] for one in found]}


class HealthChecks:
    """A health check twice a second while a `with` block runs."""

    def __init__(self, check: Callable[[], Any]) -> None:
        self._check = check
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seconds: list[float] = []
        self.failed: list[str] = []

    def __enter__(self) -> HealthChecks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def __str__(self) -> str:
        p50, slowest = np.percentile(self.seconds, (50, 100))
        return f"{len(self.seconds)} checks, p50 {p50:.3f} s, slowest {slowest:.3f} s, failed {self.failed}"

    def _run(self) -> None:
        while not self._stopping.wait(0.5):
            start = time.monotonic()
            try:
                self._check()
            except (grpc.RpcError, httpx.HTTPError) as error:
                self.failed.append(repr(error))
            self.seconds.append(time.monotonic() - start)


def _grpc_health(target: str) -> None:
    with grpc.insecure_channel(target) as channel:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)


def _rest_health(url: str) -> None:
    httpx.get(f"{url}/health", timeout=30, trust_env=False).raise_for_status()
