"""SIGKILL of the exporter at 20 random moments, while a server watches the folder and is asked all the time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from tiny_data import checkerboard

from tfdvbpr import api
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr_serving.client import Client
from tfdvbpr_serving.config import version_folders
from tfdvbpr_serving.server.server import LocalServer

KILLS = 20


def _half(folder: Path) -> str:
    """What is missing of a version; "" where it is whole, or has been removed whole in the meantime."""
    manifest = folder / "assets.extra" / "tfdvbpr.json"
    if not folder.exists():
        return ""
    if not manifest.is_file():
        return f"{folder} has no manifest" if folder.exists() else ""
    files = json.loads(manifest.read_text())["files"]
    short = [
        name for name, size in files.items() if not (folder / name).is_file() or (folder / name).stat().st_size != size
    ]
    return f"{folder} lacks {short}" if short and folder.exists() else ""


def _exporter(run: Path, output: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "tfdvbpr_export.cli", "recommender", str(run), "--output", str(output)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_no_server_sees_half_a_version(tmp_path: Path) -> None:
    dataset = checkerboard(tmp_path)
    run = api.train(dataset, tmp_path / "run", config=recommender_config("popularity")).path
    output = tmp_path / "recommender"
    began = time.monotonic()
    assert _exporter(run, output).wait() == 0
    usual = time.monotonic() - began
    problems: list[str] = []
    answers, stop = [0], threading.Event()

    def look() -> None:
        while not stop.wait(0.001):
            problems.extend(filter(None, map(_half, version_folders(output).values())))

    def ask(client: Client) -> None:
        while not stop.is_set():
            try:
                assert client.recommend(["u0"], k=3)[0].known_user
                answers[0] += 1
            except Exception as error:
                problems.append(f"a request failed: {error}")

    generator, whole = np.random.default_rng(0), 0
    with LocalServer({"recommender": output}, poll_seconds=0.2) as server, Client(server.target) as client:
        threads = [threading.Thread(target=look), threading.Thread(target=ask, args=(client,))]
        for thread in threads:
            thread.start()
        for kill in range(KILLS):
            exporter = _exporter(run, output)
            # Half of them while files are being written, which is the last part of the time.
            time.sleep(usual * (generator.uniform(0.0, 1.0) if kill % 2 else generator.uniform(0.6, 1.05)))
            exporter.kill()
            whole += exporter.wait() != -signal.SIGKILL
        stop.set()
        for thread in threads:
            thread.join()
        states = client.model_status()
    print(f"\n{KILLS} kills within {usual:.1f} s ({whole} came too late), {answers[0]} answers, versions {states}")
    assert problems == []
    assert all(state.error == "" for state in states)
    assert whole < KILLS / 2
