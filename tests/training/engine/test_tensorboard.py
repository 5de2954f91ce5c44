from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from tfdvbpr.cli import app
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.checkpoints.file import values, variables
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.engine.tensorboard import TensorBoard, profile_steps, write_projector
from tfdvbpr.training.recommender.data import TrainingData
from tfdvbpr.training.recommender.train import RecommenderTrainer, train_recommender


def _scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_steps_that_are_done_again_are_shown_once(tmp_path: Path) -> None:
    """Three steps, then a crash after the checkpoint of the first."""
    for first, loss in ((0, 1.0), (1, 2.0)):
        board = TensorBoard(tmp_path)
        board.open(first)
        for step in range(first + 1, 4):
            row: dict[str, Any] = {"kind": "step", "epoch": 0, "step": step, "loss": loss}
            board.write(row)
        board.images("samples", np.zeros((2, 3, 4, 5, 3), np.uint8), step=first + 1)
        board.close()
    events = EventAccumulator(str(tmp_path)).Reload().Images("samples")
    assert [(event.step, event.height, event.width) for event in events] == [(1, 8, 15), (2, 8, 15)]
    assert _scalars(tmp_path, "step/loss") == [(1, 1.0), (2, 2.0), (3, 2.0)]


def test_a_training_leaves_scalars_and_a_projector(
    checkerboard_dataset: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfdvbpr.training.engine.callbacks.LOG_STEPS", 1)
    config = recommender_config("bpr-mf", epochs=1, embedding_dim=4, global_batch_size=12)
    train_recommender(checkerboard_dataset, config, tmp_path / "run", tensorboard=tmp_path / "board")
    steps = [step for step, _ in _scalars(tmp_path / "board", "step/loss")]
    assert steps == list(range(1, len(steps) + 1))
    assert "step/tables_learning_rate" in EventAccumulator(str(tmp_path / "board")).Reload().Tags()["scalars"]
    assert len((tmp_path / "board" / "embeddings.tsv").read_text().splitlines()) == 16
    assert (tmp_path / "board" / "projector_config.pbtxt").read_text().count("sprite") == 2


def test_the_sprite_has_an_image_for_each_item(tmp_path: Path) -> None:
    """Five items in three columns; item n is an image of grey 50·n, twice as high as wide."""

    def read(rows: np.ndarray) -> np.ndarray:
        return np.broadcast_to((50 * rows)[:, None, None, None], (len(rows), 64, 32, 3)).astype(np.uint8)

    write_projector(tmp_path, np.eye(5, dtype=np.float32), [(f"i{row}", "a\tb") for row in range(5)], read)
    assert (tmp_path / "metadata.tsv").read_text().splitlines()[:2] == ["item_id\tcategory", "i0\ta b"]
    sprite = np.asarray(Image.open(tmp_path / "sprite.png"))
    assert sprite.shape == (192, 192, 3)
    assert [sprite[32 + 64 * (item // 3), 32 + 64 * (item % 3), 0] for item in range(6)] == [0, 50, 100, 150, 200, 255]
    assert sprite[32, 2, 0] == 255


@pytest.mark.usefixtures("tiny_backbone")
def test_a_profile_leaves_no_trace_in_the_training(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    config = recommender_config("hybrid-dvbpr", embedding_dim=4, global_batch_size=8)
    strategy = make_strategy("one-device")
    trainer = RecommenderTrainer(TrainingData.from_dataset(checkerboard_dataset, config), config, strategy)
    named = variables(trainer.trackables())
    before = values(named)
    found = profile_steps(trainer, strategy, tmp_path / "profile")
    for name, array in values(named).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert list(found.seconds) == ["input", "forward", "backward", "update"]
    assert min(found.seconds.values()) >= 0
    assert found.step_seconds > 0
    assert found.images == 8
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_the_command_prints_and_keeps_the_profile(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
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
