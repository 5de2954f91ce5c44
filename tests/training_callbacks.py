"""Callbacks that tests give to trainings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.recommenders import recommender_config


class BeforeStep(keras.callbacks.Callback):
    """Calls `act` before a step, counted over all epochs."""

    def __init__(self, step: int, act: Callable[[], object]) -> None:
        super().__init__()
        self._step, self._act = step, act

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.params["progress"].total_steps == self._step:
            self._act()


class PulledPlugError(Exception):
    pass


def pull_the_plug_before(step: int) -> keras.callbacks.Callback:
    def pull() -> None:
        raise PulledPlugError

    return BeforeStep(step, pull)


def log_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines that this project logged."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("tfdvbpr")]


def train_with_keras_callbacks(dataset: PreparedDataset, folder: Path, strategy: Any) -> dict[str, Any]:
    """BPR-MF of up to six epochs that learns nothing, with callbacks of Keras; what they wrote and saw.

    Its first validation stays the best, so that EarlyStopping ends it two epochs later.
    """
    seen: dict[str, Any] = {"batches": [], "logs": []}
    early = keras.callbacks.EarlyStopping(monitor="validation_auc", mode="max", patience=2)
    callbacks = [
        keras.callbacks.TensorBoard(str(folder / "board"), update_freq=1),
        keras.callbacks.CSVLogger(str(folder / "log.csv")),
        early,
        keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: seen["batches"].append((batch, sorted(logs))),
            on_epoch_end=lambda epoch, logs: seen["logs"].append(dict(logs)),
        ),
    ]
    config = recommender_config(
        "bpr-mf",
        epochs=6,
        embedding_dim=4,
        global_batch_size=12,
        evaluate_every=1,
        learning_rate=1e-9,
        user_learning_rate=1e-9,
    )
    run = api.train(dataset, folder / "run", config=config, callbacks=callbacks, strategy=strategy)
    history = (run.path / "history.csv").read_text().splitlines()
    return {**seen, "stopped_epoch": early.stopped_epoch, "epochs": len(history) - 1}
