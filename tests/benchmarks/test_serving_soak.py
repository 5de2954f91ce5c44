"""Mixed load for an hour (`make soak`): no wrong answer, no failed one, versions swapped, memory flat.

Environment: TFDVBPR_SOAK_MINUTES (`make soak` sets 60; skipped without), TFDVBPR_SOAK_SWAP_SECONDS (120), and
TFDVBPR_SOAK_OUTPUT, a folder for the JSON of the results and for the models, which are trained and exported there
unless it has them already.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from serving_bench import HERE, Served, environment, served

MINUTES = float(os.environ.get("TFDVBPR_SOAK_MINUTES", "0"))
SWAP_SECONDS = float(os.environ.get("TFDVBPR_SOAK_SWAP_SECONDS", "120"))
SETTLED = 1 / 6  # of the time, after which memory must stay: 10 minutes of an hour
MOST_GROWTH = 1.05
SAMPLE_SECONDS = 2.0
HOSTILE, LARGEST_HOSTILE = 400, 2**20
MODELS = ("recommender", "designer")


@pytest.mark.skipif(not MINUTES, reason="takes an hour: make soak")
def test_mixed_load(tmp_path: Path) -> None:
    folder = Path(os.environ.get("TFDVBPR_SOAK_OUTPUT") or tmp_path).resolve()
    requests, hostile = folder / "requests.json", folder / "hostile.json"
    _make(folder, requests, hostile)
    with Swaps(folder) as swaps, served(*map(str, swaps.bases), "--rest-port", "0") as server:
        memory = Memory(server, swaps)
        result = _load(server, requests, hostile, memory)
    result |= {"minutes": MINUTES, "swaps": swaps.newest - 1, "rss_mib": memory.samples} | memory.growth()
    (folder / "soak.json").write_text(json.dumps(result, indent=1))
    print(json.dumps({name: value for name, value in result.items() if name != "rss_mib"}, indent=1))
    counts = result["counts"]
    assert result["problems"] == []
    assert all(set(count) <= {"ok", "busy", "cancelled"} for count in counts.values())
    assert all(counts[kind].get("ok", 0) > 0 for kind in ("recommend", "score", "images", "design", "rest", "hostile"))
    assert min(result["versions"].values()) >= swaps.newest - 1  # the load has seen them
    assert result["growth"] <= MOST_GROWTH


def _make(folder: Path, requests: Path, hostile: Path) -> None:
    """Models, requests and answers in a process that ends, so that its memory is free meanwhile."""
    if not requests.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        from hostile_requests import hostile as one_of

        rng = np.random.default_rng(0)
        found = [one for one in (one_of(rng) for _ in range(HOSTILE)) if len(one.request) <= LARGEST_HOSTILE]
        lines = [
            {"kind": each.kind, "request": base64.b64encode(each.request).decode(),
             "statuses": [status.name for status in each.statuses]}
            for each in found
        ]  # fmt: skip
        hostile.write_text(json.dumps(lines))
        subprocess.run([sys.executable, str(HERE / "serving_soak_models.py"), str(folder)], check=True,
                       env=environment())  # fmt: skip


class Swaps:
    """New versions of both models, every `SWAP_SECONDS` while a `with` block runs; generations by turns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.bases = [folder / "served" / name for name in MODELS]
        self.newest = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Swaps:
        shutil.rmtree(self._folder / "served", ignore_errors=True)
        self._add()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(SWAP_SECONDS):
            self._add()

    def _add(self) -> None:
        """A version appears whole, as exported ones do; versions that nothing uses go."""
        generation = self.newest % 2
        self.newest += 1
        for base in self.bases:
            base.mkdir(parents=True, exist_ok=True)
            staging = base.parent / f"{base.name}-staging"
            shutil.copytree(self._folder / f"{base.name}-{generation}" / "1", staging)
            staging.rename(base / str(self.newest))
            shutil.rmtree(base / str(self.newest - 3), ignore_errors=True)


class Memory:
    """The server's resident memory, sampled since its start."""

    def __init__(self, server: Served, swaps: Swaps) -> None:
        self._process = psutil.Process(server.pid)
        self._swaps = swaps
        self._start = time.monotonic()
        self.samples: list[tuple[int, int]] = []

    def sample(self) -> int:
        """Seconds since the start and MiB, kept; the MiB are returned."""
        mib = round(self._process.memory_info().rss / 2**20)
        self.samples.append((round(time.monotonic() - self._start), mib))
        return mib

    def growth(self) -> dict[str, Any]:
        """The median of the last sixth of the time to that of the sixth after `SETTLED`, so that swaps are in both."""
        seconds, mib = np.array(self.samples).T
        share = seconds / (60 * MINUTES)
        before = float(np.median(mib[(share >= SETTLED) & (share < 2 * SETTLED)]))
        after = float(np.median(mib[share >= 1 - SETTLED]))
        return {
            "settled_mib": before,
            "last_mib": after,
            "most_mib": int(mib.max()),
            "growth": round(after / before, 4),
        }


def _load(server: Served, requests: Path, hostile: Path, memory: Memory) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "serving_soak_client.py"), server.target, server.rest_url, str(requests),
               str(hostile), str(60 * MINUTES)]  # fmt: skip
    stopping = threading.Event()

    def sample() -> None:
        while not stopping.wait(SAMPLE_SECONDS):
            memory.sample()

    sampler = threading.Thread(target=sample)
    sampler.start()
    result: dict[str, Any] = {}
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as client:
            assert client.stdout
            for line in client.stdout:
                result = json.loads(line)
                if not result.get("last"):
                    print(json.dumps(result | {"rss_mib": memory.sample()}), flush=True)
        assert client.returncode == 0
    finally:
        stopping.set()
        sampler.join()
    assert result.get("last"), "The load must end by itself. It did not."
    return result
