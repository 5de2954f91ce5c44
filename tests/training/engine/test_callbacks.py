"""Keras's own callbacks in our loop; two replicas: tests/training/distributed/test_strategy.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_callbacks import train_with_keras_callbacks

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.training.distributed.strategy import make_strategy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keras-callbacks")


@pytest.fixture(scope="module")
def seen(checkerboard_dataset: PreparedDataset, folder: Path) -> dict[str, Any]:
    return train_with_keras_callbacks(checkerboard_dataset, folder, make_strategy("one-device"))


def test_early_stopping_ends_training(seen: dict[str, Any]) -> None:
    assert seen["stopped_epoch"] == 2
    assert seen["epochs"] == len(seen["logs"]) == 3


def test_logs_hold_losses_speed_and_validation(seen: dict[str, Any]) -> None:
    names = {"loss", "penalty", "images_per_second", "validation_auc", "validation_auc_cold", "validation_auc_warm"}
    for logs in seen["logs"]:
        assert {"loss", "penalty", "images_per_second", "validation_auc"} <= set(logs) <= names
    steps = len(seen["batches"]) // 3
    assert steps > 1
    assert [batch for batch, _ in seen["batches"]] == 3 * list(range(steps))
    assert all(names == ["images_per_second", "loss", "penalty"] for _, names in seen["batches"])


def test_csv_logger_and_tensorboard_have_every_epoch(seen: dict[str, Any], folder: Path) -> None:
    table = pl.read_csv(folder / "log.csv")
    assert table["epoch"].to_list() == [0, 1, 2]
    assert table["validation_auc"].to_list() == [logs["validation_auc"] for logs in seen["logs"]]
    events = EventAccumulator(str(folder / "board" / "train"), size_guidance={"tensors": 0})
    events.Reload()
    assert [event.step for event in events.Tensors("epoch_validation_auc")] == [0, 1, 2]
