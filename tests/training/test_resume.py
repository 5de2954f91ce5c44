from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfdvbpr.config import GanConfig, RecommenderConfig, recommender_config
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import OutputExistsError, RunError
from tfdvbpr.evaluation.evaluate import validation_figures
from tfdvbpr.training import checkpoints
from tfdvbpr.training.gan_trainer import train_gan
from tfdvbpr.training.loop import StepReport
from tfdvbpr.training.recommender_trainer import train_recommender


class PulledPlugError(Exception):
    pass


def _pull_the_plug_in(epoch: int) -> Any:
    def observer(report: StepReport) -> None:
        if report.epoch >= epoch:
            raise PulledPlugError

    return observer


@pytest.fixture(autouse=True)
def _checkpoint_after_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_MIN_SECONDS", 0.0)


def _config(**values: Any) -> RecommenderConfig:
    chosen = {"epochs": 3, "embedding_dim": 4, "global_batch_size": 8, "dropout": 0.3, "evaluate_every": 1, **values}
    return recommender_config("dvbpr", **chosen)


def _train(dataset: PreparedDataset, config: RecommenderConfig, output: Path, **options: Any) -> Any:
    def validate(factors: Any) -> dict[str, float]:
        return validation_figures(factors, dataset.interactions)

    return train_recommender(dataset, config, output, validate=validate, **options)


def _losses(run: Any) -> list[list[str]]:
    """history.csv without its speeds."""
    lines = [line.split(",") for line in (run.path / "history.csv").read_text().splitlines()]
    wanted = [number for number, name in enumerate(lines[0]) if "second" not in name]
    return [[line[number] for number in wanted] for line in lines]


def test_an_interrupted_training_ends_like_an_uninterrupted_one(
    checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    config = _config()
    whole = _train(checkerboard_dataset, config, tmp_path / "whole")
    output = tmp_path / "interrupted"
    with pytest.raises(PulledPlugError):
        _train(checkerboard_dataset, config, output, observer=_pull_the_plug_in(2))
    assert not output.exists()
    lines: list[str] = []
    resumed = _train(checkerboard_dataset, config, output, told=lines.append)
    assert lines[0] == "Taking up an interrupted training after epoch 2 of 3."
    assert _losses(resumed) == _losses(whole)
    for name in ("user_embeddings", "item_embeddings"):
        np.testing.assert_allclose(getattr(resumed.factors, name), getattr(whole.factors, name), atol=1e-6)
    for weight, expected in zip(resumed.recommender.get_weights(), whole.recommender.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["interrupted", "whole"]


def test_epochs_after_the_last_checkpoint_are_not_counted_twice(
    checkerboard_dataset: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no checkpoint yet, validation had seen two epochs; they are run and seen again, once in the history."""
    monkeypatch.setattr(checkpoints, "_MIN_SECONDS", 1e9)
    config = _config(patience=2, learning_rate=1e-9, user_learning_rate=1e-9)
    whole = _train(checkerboard_dataset, config, tmp_path / "whole")
    output = tmp_path / "interrupted"
    with pytest.raises(PulledPlugError):
        _train(checkerboard_dataset, config, output, observer=_pull_the_plug_in(2))
    resumed = _train(checkerboard_dataset, config, output)
    assert _losses(resumed) == _losses(whole)


def test_another_configuration_is_refused_and_restart_forgets(
    checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    with pytest.raises(PulledPlugError):
        _train(checkerboard_dataset, _config(), output, observer=_pull_the_plug_in(1))
    other = _config(seed=7, epochs=2)
    with pytest.raises(RunError, match="--restart"):
        _train(checkerboard_dataset, other, output)
    lines: list[str] = []
    run = _train(checkerboard_dataset, other, output, restart=True, told=lines.append)
    assert not any("Taking up" in line for line in lines)
    assert [line.split(",")[0] for line in (run.path / "history.csv").read_text().splitlines()] == [
        "epoch",
        "0.0",
        "1.0",
    ]
    with pytest.raises(OutputExistsError):
        _train(checkerboard_dataset, other, output)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_interrupted_gan_ends_like_an_uninterrupted_one(
    checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    config = GanConfig(
        epochs=2, latent_dim=4, base_channels=4, discriminator_channels=4, global_batch_size=8, average_decay=0.5
    )
    whole = train_gan(checkerboard_dataset, config, tmp_path / "whole")
    with pytest.raises(PulledPlugError):
        train_gan(checkerboard_dataset, config, tmp_path / "run", observer=_pull_the_plug_in(1))
    resumed = train_gan(checkerboard_dataset, config, tmp_path / "run")
    for network in ("generator", "discriminator"):
        pairs = zip(getattr(resumed, network).get_weights(), getattr(whole, network).get_weights(), strict=True)
        for weight, expected in pairs:
            np.testing.assert_allclose(weight, expected, atol=1e-6)
    assert len((resumed.path / "history.csv").read_text().splitlines()) == 1 + 2
