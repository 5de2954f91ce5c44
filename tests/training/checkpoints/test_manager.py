from __future__ import annotations

from pathlib import Path

import numpy as np
from killing import Trainings, kill_and_resume, weights

from tfdvbpr.data.dataset import PreparedDataset


def test_a_killed_training_ends_like_an_undisturbed_one(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    """Three times SIGKILL; tests/benchmarks/test_kills.py has fifty, of all commands."""
    trainings = Trainings(checkerboard_dataset.path, epochs=8)
    try:
        trainings.start("bpr-mf", tmp_path / "undisturbed")
        assert trainings.end() == 0
        killed = kill_and_resume(trainings, "bpr-mf", tmp_path / "killed", kills=3, seed=1, longest=0.5)
    finally:
        trainings.close()
    assert max(killed.steps) > 0
    pairs = zip(weights(tmp_path / "killed", "bpr-mf"), weights(tmp_path / "undisturbed", "bpr-mf"), strict=True)
    for weight, expected in pairs:
        np.testing.assert_array_equal(weight, expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "undisturbed"]
