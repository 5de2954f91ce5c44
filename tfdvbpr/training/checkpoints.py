"""Checkpoints after each epoch, beside the run folder that is being made, so that a crash costs one epoch."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfdvbpr.config import TrainingConfig
from tfdvbpr.errors import RunError
from tfdvbpr.files import write_text
from tfdvbpr.training.loop import StepReport

_IDENTITY = "training.json"
_MIN_SECONDS = 20.0


class Checkpoints:
    """The training state of one output folder.

    Args:
        output: the run folder that is being made; the checkpoints lie in `.{name}.training` beside it.
        config: must be the interrupted training's, to take it up.
        fingerprint: the dataset's; likewise.
        restart: forget an interrupted training.
        worker: number of this worker, each of which keeps its own.
        least: the least of a number over all workers, for them to take up the same epoch and to write after the same
            ones.
        min_seconds: after an epoch that ends sooner than this after the last checkpoint, none is written.

    Raises:
        RunError: if another training was interrupted at this output and `restart` is false.
    """

    def __init__(
        self,
        output: Path,
        config: TrainingConfig,
        fingerprint: str,
        *,
        restart: bool = False,
        worker: int = 0,
        least: Callable[[int], int] = int,
        min_seconds: float | None = None,
    ) -> None:
        suffix = f"-{worker}" if worker else ""
        self.folder = output.parent / f".{output.name}.training{suffix}"
        self.first_epoch = 0
        self._least = least
        self._min_seconds = _MIN_SECONDS if min_seconds is None else min_seconds
        self._written = self._began = time.perf_counter()
        self._before = 0.0
        identity = json.dumps({"config": config.model_dump(mode="json"), "dataset": fingerprint}, sort_keys=True)
        if restart:
            self.remove()
        marker = self.folder / _IDENTITY
        if marker.is_file() and marker.read_text(encoding="utf-8") != identity:
            raise RunError(
                f"Another training was interrupted at {output} (other configuration or dataset). "
                "Repeat that one to finish it, or pass --restart to forget it."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(marker, identity)

    def restore(self, trackables: dict[str, Any]) -> float:
        """Puts the last checkpoint's values into the given objects, if there is one.

        Args:
            trackables: models and optimizers, already built.

        Returns:
            Seconds of training before the interruption; 0 for a new training.
        """
        self._epoch = tf.Variable(0, dtype=tf.int64)
        self._seconds = tf.Variable(0.0, dtype=tf.float64)
        saved = tf.train.Checkpoint(epoch=self._epoch, seconds=self._seconds, **trackables)
        self._manager = tf.train.CheckpointManager(saved, str(self.folder / "state"), max_to_keep=2)
        epochs = {int(path.rpartition("-")[2]): path for path in self._manager.checkpoints}
        common = self._least(max(epochs, default=0))
        if self._least(int(common in epochs)):
            saved.restore(epochs[common]).assert_existing_objects_matched()
            self.first_epoch = int(self._epoch.numpy())
            self._before = float(self._seconds.numpy())
        return self._before

    def save(self, report: StepReport) -> bool:
        """An action of the loop: writes a checkpoint after an epoch; never stops training."""
        now = time.perf_counter()
        if self._least(int(now - self._written >= self._min_seconds)):
            self._epoch.assign(report.epoch + 1)
            self._seconds.assign(self._before + now - self._began)
            self._manager.save(checkpoint_number=report.epoch + 1)
            self._written = now
        return False

    def remove(self) -> None:
        """Deletes the checkpoints, once the run folder is whole or the training is to start afresh."""
        shutil.rmtree(self.folder, ignore_errors=True)
