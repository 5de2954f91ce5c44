"""One device, two logical devices and two processes with the same global batch: the weights after fifty steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.training.distributed.launcher import _free_ports

HERE = Path(__file__).parent
TOLERANCE = 1e-6


def _fifty_steps(dataset: Path, way: str, strategy: str, output: Path) -> dict[str, npt.NDArray[np.floating]]:
    """Every array before and after, as the chief has it."""
    workers = 2 if strategy == "multi-worker" else 1
    addresses = [f"localhost:{port}" for port in _free_ports(workers)]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    processes = []
    for number in range(workers):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
        config = {"TF_CONFIG": json.dumps(cluster)} if workers > 1 else {}
        command = [sys.executable, str(HERE / "fifty_steps_script.py"), str(dataset), way, strategy, str(output)]
        processes.append(subprocess.Popen(command, env={**environment, **config}))
    try:
        assert [process.wait(600) for process in processes] == [0] * workers
    finally:
        for process in processes:
            process.kill()
    with np.load(output) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("strategy", ["mirrored", "multi-worker"])
@pytest.mark.parametrize("way", ["dvbpr", "gan", "gan-float64"])
def test_weights_agree(way: str, strategy: str, checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    alone = _fifty_steps(checkerboard_dataset.path, way, "one-device", tmp_path / "alone.npz")
    shared = _fifty_steps(checkerboard_dataset.path, way, strategy, tmp_path / "shared.npz")
    names = [name for name in alone if name.startswith("after/") and alone[name].size and "seed" not in name]
    weights = [name for name in names if "moving" not in name]
    apart = max(np.abs(alone[name] - shared[name]).max() for name in weights)
    moved = max(np.abs(alone[name] - alone[name.replace("after", "before", 1)]).max() for name in weights)
    # Statistics of a normalisation have a scale of their own.
    scales = {name: max(1.0, np.abs(alone[name]).max()) for name in names if "moving" in name}
    statistics = max(np.abs(alone[name] - shared[name]).max() / scale for name, scale in scales.items())
    print(f"\n{way}, {strategy}: weights moved by up to {moved:.1e}; they differ by up to {apart:.1e},", end=" ")
    print(f"statistics of normalisations by {statistics:.1e} of their scale.")
    assert moved > 1000 * TOLERANCE
    assert apart < TOLERANCE
    assert statistics < 20 * TOLERANCE
