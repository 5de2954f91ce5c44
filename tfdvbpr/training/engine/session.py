"""One training from its first step to its run folder, however often it is interrupted: what both trainers share."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import tensorflow as tf

from tfdvbpr.config import TrainingConfig
from tfdvbpr.errors import DiskFullError, LostWorkerError
from tfdvbpr.training.checkpoints.manager import Checkpoints, Keeper, TrainingFolder
from tfdvbpr.training.checkpoints.signals import Interrupted, Interrupts
from tfdvbpr.training.checkpoints.state import variables
from tfdvbpr.training.distributed.strategy import (
    from_chief,
    is_chief,
    is_multi_worker,
    local_replicas,
    over_workers,
    write_once,
)
from tfdvbpr.training.engine.actions import History
from tfdvbpr.training.engine.journal import LOG_NAME, Journal
from tfdvbpr.training.engine.loop import (
    Action,
    Around,
    Batches,
    Moment,
    Observer,
    Position,
    distributed_step,
    run_epochs,
)
from tfdvbpr.training.engine.tensorboard import TensorBoard

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Trainer(Protocol):
    """What is trained."""

    @property
    def batches(self) -> Batches:
        """Draws the steps."""
        ...

    def trackables(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        ...

    def replica_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """One replica's part of a step."""
        ...


class Session:
    """The training of one output.

    As a context it lets the output go at its end, and says what to do where the disk is full.

    Args:
        output: the run folder to make.
        config: the run's.
        fingerprint: the dataset's.
        strategy: a tf.distribute strategy.
        overwrite: replace a run that is already there.
        restart: forget an interrupted training of the same output.
        resume: refuse to begin a new one.
        tensorboard: a folder for TensorBoard's files.
        told: takes lines for people.

    Attributes:
        finished: nothing is left to do: an earlier process was interrupted after the run was whole.
        folder: for files that outlast an interruption; None on a worker that is not the chief.

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
        overwrite: bool = False,
        restart: bool = False,
        resume: bool = False,
        tensorboard: Path | None = None,
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._output, self._config, self._strategy, self._told = output, config, strategy, told
        self._around_folder: TrainingFolder | None = None
        self.share: Callable[[Callable[[], bytes]], bytes] = partial(from_chief, strategy)

        def take() -> bytes:
            self._around_folder = TrainingFolder(
                output, config, fingerprint, overwrite=overwrite, restart=restart, resume=resume
            )
            return b"finished" if self._around_folder.finished else b""

        self.finished = bool(self.share(take))
        self.folder: Path | None = self._path()
        self._checkpoints = Checkpoints(self.folder, config, share=self.share, told=told)
        chief = tensorboard is not None and is_chief(strategy)
        self.tensorboard = TensorBoard(tensorboard) if tensorboard is not None and chief else None
        self._interrupts = Interrupts()

    def _path(self) -> Path | None:
        return None if self._around_folder is None else self._around_folder.path

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        last = self._checkpoints.last()
        if self._around_folder is not None:
            self._around_folder.release()
        if self.tensorboard is not None:
            self.tensorboard.close()
        if isinstance(error, OSError) and error.errno in _FULL:
            raise DiskFullError(
                f"There must be room to write at {self._output.parent}. The disk is full ({error.strerror}). "
                f"Make room and repeat the command: {last}."
            ) from error
        if isinstance(error, FloatingPointError):
            raise FloatingPointError(f"{error} Of before it, {last}.") from error
        if isinstance(error, tf.errors.OpError) and is_multi_worker(self._strategy):
            raise LostWorkerError(
                f"Every worker must stay to the end. Another one is gone or cannot be reached "
                f"({type(error).__name__}). Start all of them again with the same command: {last}."
            ) from error

    def agreed(self, number: int) -> int:
        """The chief's number, on every worker."""
        return over_workers(self._strategy, number)[0]

    def train(
        self,
        trainer: Trainer,
        action: Action,
        keepers: Mapping[str, Keeper],
        history: History,
        *,
        then: Sequence[Action] = (),
        observer: Observer | None = None,
        around: Around | None = None,
    ) -> None:
        """Trains from where an interrupted training stopped, if there is one, to the end.

        Args:
            trainer: what is trained.
            action: called after each epoch; it adds a row to `history`.
            keepers: what has to be in a checkpoint beside the trainer's own.
            history: the epochs so far.
            then: further actions after it.
            observer: told how training stands.
            around: see `run_epochs`.

        Raises:
            Interrupted: after SIGINT or SIGTERM; the checkpoint is written.
        """
        journal = Journal(
            None if self.folder is None else self.folder / LOG_NAME,
            history,
            log_steps=self._config.log_steps,
            rates=partial(_rates, trainer.trackables()),
            seconds=self._checkpoints.seconds,
            sinks=[] if self.tensorboard is None else [self.tensorboard.row],
        )
        whole = {**keepers, "journal": journal}
        position = self._checkpoints.restore(variables(trainer.trackables()), trainer.batches, whole)
        self._tell(position, trainer.batches)
        if self.tensorboard is not None:
            self.tensorboard.begin(position.epoch * trainer.batches.steps_per_epoch + position.step)
        several = is_multi_worker(self._strategy)
        with self._interrupts as interrupts:
            run_epochs(
                distributed_step(
                    self._strategy, trainer.replica_step, interrupted=interrupts.asked if several else None
                ),
                trainer.batches,
                epochs=self._config.epochs,
                position=position,
                replicas=local_replicas(self._strategy),
                actions=[action, *then],
                watches=[journal.watch, self._checkpoints.watch, self._stop_where_asked],
                observer=observer,
                around=around,
            )

    def _tell(self, position: Position, batches: Batches) -> None:
        if position == Position():
            return
        within = f", step {position.step} of {batches.steps_per_epoch}" if position.step else ""
        epochs = f"after epoch {position.epoch} of {self._config.epochs}"
        self._told(f"Taking up an interrupted training {epochs}{within}.")

    def _stop_where_asked(self, moment: Moment) -> None:
        """A watch of the loop: after a signal, writes a checkpoint and ends training."""
        asked = self._interrupts.asked()
        if is_multi_worker(self._strategy):
            asked = moment.interrupted()
        if not asked or moment.ended:
            return
        self._checkpoints.write(moment)
        raise Interrupted(
            self._interrupts.received or 15,
            f"training was stopped after step {moment.total_steps}, {self._checkpoints.last()}. "
            "The same command goes on from it.",
        )

    def write_run(self, write: Callable[[float], None]) -> None:
        """Has the run folder written, by the chief alone where workers share a disk, and clears up.

        Args:
            write: makes it, from the seconds of training.
        """
        write_once(self._strategy, self._output, lambda: write(self._checkpoints.seconds()))
        if self._around_folder is not None:
            self._around_folder.remove()

    def copy_into(self, folder: Path, *names: str) -> None:
        """Puts the log, and what else lies in the training folder under these names, into the run folder to be."""
        for name in (LOG_NAME, *names):
            found = None if self.folder is None else self.folder / name
            if found is not None and found.is_dir():
                shutil.copytree(found, folder / name)
            elif found is not None and found.is_file():
                shutil.copyfile(found, folder / name)


def _rates(trackables: Mapping[str, Any]) -> dict[str, float]:
    """The step size of each optimizer now."""
    found = {name: getattr(holder, "learning_rate", None) for name, holder in trackables.items()}
    return {name: float(rate) for name, rate in found.items() if rate is not None}
