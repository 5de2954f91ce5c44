"""One of two workers is killed within an epoch: the job ends cleanly, begins again from the checkpoint by itself, and
ends with the weights of an undisturbed job; without a restart left it ends with an error.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.run import Run

KILLED_AFTER = 6
VALUES = ("epochs=8", "embedding_dim=4", "global_batch_size=4", "dropout=0.3", "checkpoint_steps=1", "evaluate_every=2")


def _launch(dataset: Path, output: Path, restarts: int) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    values = [word for value in VALUES for word in ("--set", value)]
    command = [
        "launch",
        "--workers",
        "2",
        "--restarts",
        str(restarts),
        "--",
        "train",
        str(dataset),
        "--model",
        "dvbpr",
        *values,
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "tfdvbpr.cli", *command, "--output", str(output)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _kill_a_worker(job: subprocess.Popen[str], output: Path) -> int:
    """Kills the second worker once a checkpoint has seen enough steps; returns how many it had."""
    folder = output.parent / f".{output.name}.training"
    while job.poll() is None:
        steps = max((int(path.name.split("-")[1]) for path in folder.glob("step-*")), default=0)
        if steps >= KILLED_AFTER:
            workers = [child for child in psutil.Process(job.pid).children() if "train" in child.cmdline()]
            second = next(worker for worker in workers if '"index": 1' in worker.environ()["TF_CONFIG"])
            second.send_signal(signal.SIGKILL)
            return steps
        time.sleep(0.02)
    raise AssertionError("the job ended before a worker was killed")


def test_a_lost_worker(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    undisturbed = _launch(checkerboard_dataset.path, tmp_path / "undisturbed", 0)
    printed, _ = undisturbed.communicate(timeout=600)
    assert undisturbed.returncode == 0, printed

    given_up = _launch(checkerboard_dataset.path, tmp_path / "lost", 0)
    steps = _kill_a_worker(given_up, tmp_path / "lost")
    began = time.perf_counter()
    printed, _ = given_up.communicate(timeout=600)
    spent = time.perf_counter() - began
    assert given_up.returncode == 1
    assert printed.splitlines()[-1].startswith("tfdvbpr: Every worker must end well. Worker 1 was killed by SIGKILL.")
    print(
        f"\nworker 1 killed after step {steps} of 32; the job ended {spent:.1f} s later:\n  {printed.splitlines()[-1]}"
    )

    for name, restarts in (("lost", 0), ("restarted", 1)):
        job = _launch(checkerboard_dataset.path, tmp_path / name, restarts)
        if restarts:
            print(f"worker 1 killed after step {_kill_a_worker(job, tmp_path / name)}, with a restart left:")
        printed, _ = job.communicate(timeout=600)
        assert job.returncode == 0, printed
        print("  " + "\n  ".join(line for line in printed.splitlines() if "Taking up" in line or "[launch]" in line))
        runs = [Run.open(tmp_path / each) for each in (name, "undisturbed")]
        pairs = zip(*(run.recommender.get_weights() for run in runs), strict=True)
        differing = sum(not np.array_equal(weight, expected) for weight, expected in pairs)
        print(f"  {differing} arrays differ from those of the undisturbed job.")
        assert differing == 0
