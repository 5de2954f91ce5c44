from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_cnn import tiny_cnn
from training_callbacks import PulledPlugError, log_lines, pull_the_plug_before

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import OutputExistsError, RunError
from tfdvbpr.evaluation.ranking.evaluate import validation_metrics
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.checkpoints.manager import TrainingFolder
from tfdvbpr.training.recommender.train import train_recommender


@pytest.fixture(scope="module", autouse=True)
def _a_row_a_step_and_a_tiny_backbone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfdvbpr.training.engine.callbacks.LOG_STEPS", 1)
        patch.setattr("tfdvbpr.models.backbones.BACKBONES", {"small_cnn": tiny_cnn})
        yield


def _config(model: str = "bpr-mf", **values: Any) -> RecommenderConfig:
    """Two steps an epoch, three epochs."""
    chosen = {
        "epochs": 3,
        "embedding_dim": 4,
        "global_batch_size": 8 if model == "dvbpr" else 24,
        "dropout": 0.3 if model == "dvbpr" else 0.0,
        "evaluate_every": 1,
        "checkpoint_steps": 1,
        **values,
    }
    return recommender_config(model, **chosen)


def _train(dataset: PreparedDataset, config: RecommenderConfig, output: Path, **options: Any) -> Any:
    return train_recommender(dataset, config, output, validate=validation_metrics, **options)


def _history(run: Any) -> list[list[str]]:
    """history.csv without its speeds."""
    lines = [line.split(",") for line in (run.path / "history.csv").read_text().splitlines()]
    wanted = [number for number, name in enumerate(lines[0]) if "second" not in name]
    return [[line[number] for number in wanted] for line in lines]


def _log(run: Any) -> list[dict[str, Any]]:
    """log.jsonl without its speeds."""
    rows = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if "second" not in name and "wait" not in name} for row in rows]


def _assert_same(resumed: Any, whole: Any) -> None:
    for weight, expected in zip(resumed.recommender.get_weights(), whole.recommender.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    for name in ("user_embeddings", "item_embeddings"):
        np.testing.assert_array_equal(getattr(resumed.factors, name), getattr(whole.factors, name))
    assert _history(resumed) == _history(whole)
    assert _log(resumed) == _log(whole)


@pytest.fixture(scope="module")
def whole(checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run of `_config()` that nothing interrupted."""
    return _train(checkerboard_dataset, _config(), tmp_path_factory.mktemp("whole") / "run")


def _interrupt_twice(dataset: PreparedDataset, config: RecommenderConfig, output: Path) -> None:
    """Within an epoch each time."""
    for step in (3, 5):
        with pytest.raises(PulledPlugError):
            _train(dataset, config, output, callbacks=[pull_the_plug_before(step)])


def _continued(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in log_lines(caplog) if "Continuing" in message]


def test_an_interrupted_training_ends_like_an_uninterrupted_one_bit_for_bit(
    checkerboard_dataset: PreparedDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Dropout, user profiles of the epoch's start, means of losses, the best so far and the log go on."""
    caplog.set_level("INFO", "tfdvbpr")
    caplog.clear()
    config = _config("dvbpr")
    whole = _train(checkerboard_dataset, config, tmp_path / "whole")
    assert _log(whole)[-1]["step"] == 6
    output = tmp_path / "run"
    _interrupt_twice(checkerboard_dataset, config, output)
    assert not output.exists()
    resumed = _train(checkerboard_dataset, config, output, if_exists="resume")
    assert _continued(caplog) == [
        "Continuing an interrupted training after epoch 1 of 3, step 1 of 2.",
        "Continuing an interrupted training after epoch 2 of 3, step 1 of 2.",
    ]
    _assert_same(resumed, whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "whole"]


def test_tables_go_on_bit_for_bit(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    values = {"batching": "triplet", "user_embeddings": "free", "global_batch_size": 24}
    config = _config("dvbpr", **values)
    with pytest.raises(PulledPlugError):
        _train(checkerboard_dataset, config, tmp_path / "run", callbacks=[pull_the_plug_before(3)])
    resumed = _train(checkerboard_dataset, config, tmp_path / "run")
    _assert_same(resumed, _train(checkerboard_dataset, config, tmp_path / "whole"))


def test_patience_counts_over_an_interruption(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    """Nothing is learned: the first validation stays the best, and training ends two validations later."""
    config = _config(patience=2, learning_rate=1e-9, user_learning_rate=1e-9, epochs=9)
    whole = _train(checkerboard_dataset, config, tmp_path / "whole")
    assert len(_history(whole)) == 1 + 3
    output = tmp_path / "interrupted"
    with pytest.raises(PulledPlugError):
        _train(checkerboard_dataset, config, output, callbacks=[pull_the_plug_before(5)])
    _assert_same(_train(checkerboard_dataset, config, output), whole)


def test_steps_after_the_last_checkpoint_are_not_counted_twice(
    whole: Any, checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    config = _config(checkpoint_steps=2)
    output = tmp_path / "interrupted"
    with pytest.raises(PulledPlugError):
        _train(checkerboard_dataset, config, output, callbacks=[pull_the_plug_before(3)])
    # How often checkpoints are written may change: the weights do not depend on it.
    other = _config(checkpoint_steps=0)
    _assert_same(_train(checkerboard_dataset, other, output), whole)


def test_a_damaged_checkpoint_is_skipped(
    whole: Any, checkerboard_dataset: PreparedDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = _config()
    output = tmp_path / "run"
    with pytest.raises(PulledPlugError):
        _train(checkerboard_dataset, config, output, callbacks=[pull_the_plug_before(5)])
    older, newest = sorted((tmp_path / ".run.training").glob("step-*"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    (tmp_path / ".run.training" / ".step-1.npz").write_bytes(data[:100])
    caplog.set_level("INFO", "tfdvbpr")
    caplog.clear()
    _assert_same(_train(checkerboard_dataset, config, output), whole)
    lines = log_lines(caplog)
    assert lines[0].startswith(f"The checkpoint after step 5 is damaged and skipped: {newest.name} does not")
    assert lines[1] == "Continuing an interrupted training after epoch 2 of 3."
    assert "-0000000004-" in older.name


def test_a_run_that_was_whole_before_the_crash_is_taken_as_it_is(
    checkerboard_dataset: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the run's appearance and the end of its training folder."""
    output = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(TrainingFolder, "remove", TrainingFolder.release)
        run = _train(checkerboard_dataset, _config(epochs=1), output)
    assert (tmp_path / ".run.training").is_dir()
    again = _train(checkerboard_dataset, _config(epochs=1), output, callbacks=[pull_the_plug_before(0)])
    assert again.manifest == run.manifest
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with pytest.raises(OutputExistsError):
        _train(checkerboard_dataset, _config(epochs=1), output)


def test_another_configuration_is_refused_and_restart_forgets(
    checkerboard_dataset: PreparedDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "run"
    with pytest.raises(RunError, match="resume needs an interrupted training"):
        _train(checkerboard_dataset, _config(), output, if_exists="resume")
    with pytest.raises(PulledPlugError):
        _train(checkerboard_dataset, _config(), output, callbacks=[pull_the_plug_before(2)])
    other = _config(seed=7, epochs=2)
    with pytest.raises(RunError, match="--if-exists restart"):
        _train(checkerboard_dataset, other, output)
    caplog.set_level("INFO", "tfdvbpr")
    caplog.clear()
    run = _train(checkerboard_dataset, other, output, if_exists="restart")
    assert not _continued(caplog)
    assert [row[0] for row in _history(run)] == ["epoch", "0.0", "1.0"]
    with pytest.raises(OutputExistsError):
        _train(checkerboard_dataset, other, output, if_exists="restart")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_training_that_is_to_replace_a_run_may_be_restarted(tmp_path: Path) -> None:
    """Restart and resume do not replace a run by themselves, but go on with a training that began with overwrite."""
    output = tmp_path / "run"
    output.mkdir()
    (output / "manifest.json").write_text("{}")
    for if_exists in ("error", "restart", "resume"):
        with pytest.raises(OutputExistsError):
            TrainingFolder(output, _config(), "fingerprint", if_exists=if_exists)
    TrainingFolder(output, _config(), "fingerprint", if_exists="overwrite").release()
    for if_exists, config in (("overwrite", _config()), ("resume", _config()), ("restart", _config(seed=1))):
        folder = TrainingFolder(output, config, "fingerprint", if_exists=if_exists)
        assert folder.if_exists == "overwrite"
        folder.release()
    with pytest.raises(OutputExistsError):
        TrainingFolder(output, _config(), "fingerprint")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    first = TrainingFolder(tmp_path / "run", _config(), "fingerprint")
    with pytest.raises(RunError, match="One process may train"):
        TrainingFolder(tmp_path / "run", _config(), "fingerprint")
    first.release()
    TrainingFolder(tmp_path / "run", _config(), "fingerprint").release()
