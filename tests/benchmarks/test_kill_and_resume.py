"""SIGKILL at twenty random moments, ten of them within the write of a checkpoint: the weights are those of an
undisturbed run, bit for bit, and nobody had to do anything but give the same command again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tfdvbpr.data.dataset import PreparedDataset

sys.path.insert(0, str(Path(__file__).parents[1] / "training" / "checkpoints"))

from killing import Trainings, kill_and_resume, weights


@pytest.mark.parametrize("model", ["dvbpr", "gan"])
def test_twenty_kills(model: str, checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    trainings = Trainings(checkerboard_dataset.path, epochs=40)
    try:
        trainings.start(model, tmp_path / "undisturbed")
        assert trainings.end() == 0
        killed = kill_and_resume(trainings, model, tmp_path / "killed", kills=20, seed=0, longest=5.0)
    finally:
        trainings.close()
    print(f"\n{model}: 20 kills, {killed.seconds} s after each start;")
    print(f"  steps in the newest checkpoint at each: {killed.steps};")
    print(f"  {killed.within_write} within the write of a checkpoint, {killed.before} before the first one.")
    pairs = list(zip(weights(tmp_path / "killed", model), weights(tmp_path / "undisturbed", model), strict=True))
    differing = sum(not np.array_equal(weight, expected) for weight, expected in pairs)
    print(f"  {differing} of {len(pairs)} arrays differ from those of the undisturbed run.")
    assert differing == 0
    assert killed.within_write >= 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "undisturbed"]
