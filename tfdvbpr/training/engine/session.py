"""One training from its first step to its run folder, however often it is interrupted."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import keras
import polars as pl
import tensorflow as tf

from tfdvbpr.config import TrainingConfig
from tfdvbpr.config.base import TrainingIfExists
from tfdvbpr.errors import DiskFullError, LostWorkerError
from tfdvbpr.files import IfExists, is_disk_full
from tfdvbpr.text import one_line
from tfdvbpr.training.checkpoints.file import variables
from tfdvbpr.training.checkpoints.manager import Checkpoints, TrainingFolder
from tfdvbpr.training.checkpoints.signals import Interrupts
from tfdvbpr.training.distributed.strategy import broadcast_bytes, is_chief, is_multi_worker, local_replicas, write_once
from tfdvbpr.training.engine.callbacks import LOG_NAME, Journal, TrainingCallback
from tfdvbpr.training.engine.loop import Trainer, TrainingProgress, distributed_step, run_epochs
from tfdvbpr.training.engine.tensorboard import TensorBoard


class Session:
    """The training of one output.

    As a context it releases the output at its end, and explains a full disk or a lost worker.

    Attributes:
        finished: whether nothing is left to do: an earlier process was interrupted after the run was complete.
        if_exists: whether the run may replace what is at `output`.
        folder: for files that outlast an interruption; None on a worker that is not the chief.
        tensorboard: a callback; None without a folder, and on a worker that is not the chief.

    Raises:
        OutputExistsError: if `output` holds something already.
        RunError: as `TrainingFolder`.
    """

    def __init__(
        self,
        output: Path,
        config: TrainingConfig,
        fingerprint: str,
        strategy: Any,
        *,
        if_exists: TrainingIfExists = "error",
        tensorboard: Path | None = None,
    ) -> None:
        self._output, self._config, self._strategy = output, config, strategy
        self._began = time.perf_counter()
        self._progress: TrainingProgress | None = None
        self._training_folder: TrainingFolder | None = None

        def take() -> bytes:
            folder = self._training_folder = TrainingFolder(output, config, fingerprint, if_exists=if_exists)
            return f"{folder.if_exists} {folder.finished}".encode()

        allowed, finished = broadcast_bytes(strategy, take).decode().split()
        self.finished = finished == "True"
        self.if_exists: IfExists = "overwrite" if allowed == "overwrite" else "error"
        self.folder = self._path()
        self._interrupts = Interrupts()
        self._checkpoints = Checkpoints(self.folder, config, strategy, self._interrupts)
        self._trackables: Mapping[str, Any] = {}
        self._journal = Journal(None if self.folder is None else self.folder / LOG_NAME, self._learning_rates)
        chief = tensorboard is not None and is_chief(strategy)
        self.tensorboard = TensorBoard(tensorboard, self._learning_rates) if tensorboard is not None and chief else None

    def _path(self) -> Path | None:
        return None if self._training_folder is None else self._training_folder.path

    def _learning_rates(self) -> dict[str, float]:
        """The step size of each optimizer now."""
        found = {name: getattr(holder, "learning_rate", None) for name, holder in self._trackables.items()}
        return {name: float(rate) for name, rate in found.items() if rate is not None}

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        last = self._checkpoints.last()
        if self._training_folder is not None:
            self._training_folder.release()
        if self.tensorboard is not None:
            self.tensorboard.close()
        if error is not None and is_disk_full(error):
            raise DiskFullError(
                f"There must be room to write at {self._output.parent}. The disk is full "
                f"({one_line(str(error.__cause__ or error))[:200]}). Make room and repeat the command: {last}."
            ) from error
        if isinstance(error, FloatingPointError):
            raise FloatingPointError(f"{error} {last[:1].upper()}{last[1:]}.") from error
        if isinstance(error, tf.errors.OpError) and is_multi_worker(self._strategy):
            raise LostWorkerError(
                f"Every worker must stay to the end. Another one is gone or cannot be reached "
                f"({type(error).__name__}). Start all of them again with the same command: {last}."
            ) from error

    def train(
        self,
        trainer: Trainer,
        own_callbacks: Sequence[TrainingCallback] = (),
        callbacks: Sequence[keras.callbacks.Callback] = (),
        *,
        epochs: int | None = None,
    ) -> None:
        """Trains to the end, from where an interrupted training stopped if there is one.

        Args:
            own_callbacks: called first, before the log is written; their state is kept in checkpoints.
            callbacks: the user's, called after the log is written and before a checkpoint.
            epochs: left out, the configuration's.

        Raises:
            Interrupted: after SIGINT or SIGTERM; the checkpoint is written.
        """
        self._trackables = trainer.trackables()
        first = [*own_callbacks, self._journal]
        epochs = epochs or self._config.epochs
        progress = self._progress = TrainingProgress(trainer.batches, epochs=epochs, began=self._began)
        self._checkpoints.restore(variables(self._trackables), progress, first)
        first += [] if self.tensorboard is None else [self.tensorboard]
        flag = self._interrupts.requested if is_multi_worker(self._strategy) else None
        with self._interrupts:
            run_epochs(
                distributed_step(self._strategy, trainer.replica_step, interrupted=flag),
                progress,
                callbacks=[*first, *callbacks, self._checkpoints],
                model=trainer.model,
                replicas=local_replicas(self._strategy),
            )

    def history(self) -> pl.DataFrame:
        """One row an epoch, see `Journal.history`."""
        return self._journal.history()

    def write_run(self, write: Callable[[float], None]) -> None:
        """Has `write` make the run folder, given the seconds of training, and removes the training folder.

        Where workers share a disk, the chief alone writes.
        """
        seconds = 0.0 if self._progress is None else self._progress.seconds
        write_once(self._strategy, self._output, lambda: write(seconds))
        if self._training_folder is not None:
            self._training_folder.remove()

    def copy_into(self, folder: Path, *names: str) -> None:
        """Copies the log, and these files and folders of the training folder, into the run folder to be."""
        for name in (LOG_NAME, *names):
            found = None if self.folder is None else self.folder / name
            if found is not None and found.is_dir():
                shutil.copytree(found, folder / name)
            elif found is not None and found.is_file():
                shutil.copyfile(found, folder / name)
