from __future__ import annotations

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from tfdvbpr.cli import app
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.checkpoints.state import values, variables
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.engine.profile import profile_steps
from tfdvbpr.training.recommender.train import RecommenderTrainer


def test_a_profile_leaves_no_trace_in_the_training(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    config = recommender_config("hybrid-dvbpr", embedding_dim=4, global_batch_size=8)
    strategy = make_strategy("one-device")
    trainer = RecommenderTrainer(checkerboard_dataset, config, strategy)
    named = variables(trainer.trackables())
    before = values(named)
    found = profile_steps(trainer, strategy, tmp_path / "profile")
    for name, array in values(named).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert list(found.seconds) == ["input", "forward", "backward", "update"]
    assert min(found.seconds.values()) >= 0
    assert found.step_seconds > 0
    assert found.pictures == 8
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_the_command_prints_it_and_keeps_it_in_the_run(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    """The run is that of the same command without a profile."""
    arguments = ["train", str(checkerboard_dataset.path), "--model", "bpr-mf", "--set", "epochs=1"]
    plain = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "plain")])
    result = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "run"), "--profile"])
    assert plain.exit_code == result.exit_code == 0, result.output
    for word in ("input", "forward", "backward", "update", "step"):
        assert word in result.output
    assert list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))
    assert not (tmp_path / "plain" / "profile").exists()
    with np.load(tmp_path / "plain" / "factors.npz") as one, np.load(tmp_path / "run" / "factors.npz") as other:
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name])
