"""The training folder of an output, `.{name}.training` beside the run to be, and the checkpoints in it.

The folder holds what is trained (`training.json`), the newest checkpoints, the best weights so far and the log. The
chief alone writes and reads it, and broadcasts what it read.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tfdvbpr.config import TrainingConfig
from tfdvbpr.config.base import TrainingIfExists
from tfdvbpr.errors import DiskFullError, RunError
from tfdvbpr.files import IfExists, check_output, is_disk_full, sha256, sweep_scratch, try_lock, write_text
from tfdvbpr.run.folder import MANIFEST_NAME
from tfdvbpr.training.checkpoints.file import (
    BEST,
    STEP,
    DamagedCheckpointError,
    Saved,
    assign,
    parse,
    read_bytes,
    saved_files,
    step_of,
    values,
    write_saved,
)
from tfdvbpr.training.checkpoints.signals import Interrupted, Interrupts
from tfdvbpr.training.distributed.strategy import broadcast_bytes, broadcast_number, is_multi_worker
from tfdvbpr.training.engine.callbacks import TrainingCallback
from tfdvbpr.training.engine.loop import TrainingProgress

_IDENTITY = "training.json"
_LOCK = "lock"
_KEPT = 2
_SECONDS = 30.0

_log = logging.getLogger(__name__)


def interrupted_config(output: Path) -> dict[str, Any] | None:
    """The configuration of the training that was interrupted at an output, by field; None where none was."""
    marker = _folder_of(output) / _IDENTITY
    if not marker.is_file():
        return None
    config: dict[str, Any] = json.loads(json.loads(marker.read_text(encoding="utf-8"))["identity"])["config"]
    return config


def _folder_of(output: Path) -> Path:
    return output.parent / f".{output.name}.training"


class TrainingFolder:
    """The folder of an output's training state; one process at a time has it.

    Args:
        config: an interrupted training is continued only with the same, but for its `RUN_FIELDS`.
        fingerprint: the dataset's; likewise.
        if_exists: what to do where `output` is a run, or an interrupted training of it is there. "error" refuses a run
            and continues an interrupted training. "overwrite" replaces a run and continues an interrupted training.
            "restart" forgets an interrupted training and begins anew. "resume" refuses to begin a new training.

    Attributes:
        path: the folder.
        finished: whether the run is complete: a former process ended before it had removed the folder.
        if_exists: whether the run may replace what is at `output`.

    Raises:
        OutputExistsError: if `output` holds something else.
        RunError: if another training was interrupted at this output, another process trains there, or there is nothing
            to resume.
    """

    def __init__(
        self, output: Path, config: TrainingConfig, fingerprint: str, *, if_exists: TrainingIfExists = "error"
    ) -> None:
        self._output = output
        self.path = _folder_of(output)
        self.if_exists: IfExists = "overwrite" if if_exists == "overwrite" else "error"
        self._lock: IO[str] | None = None
        about = config.model_dump(mode="json", exclude=set(type(config).RUN_FIELDS))
        identity = json.dumps({"config": about, "dataset": fingerprint}, sort_keys=True)
        try:
            self.finished = self._open(identity, if_exists)
        except BaseException as error:
            self.release()
            if is_disk_full(error):
                raise DiskFullError(
                    f"There must be room to write at {output.parent}. The disk is full ({error}). Make room and repeat "
                    "the command."
                ) from error
            raise

    def _open(self, identity: str, if_exists: TrainingIfExists) -> bool:
        marker = self.path / _IDENTITY
        interrupted = marker.is_file()
        if interrupted:
            self._take()
            if if_exists in ("restart", "resume"):  # a training that began above a run was to replace it
                self.if_exists = "overwrite"
        if interrupted and if_exists == "restart":
            self._empty()
            interrupted = False
        kept = json.loads(marker.read_text(encoding="utf-8")) if interrupted else {"before": self._manifest()}
        if interrupted and kept["identity"] == identity and self._manifest() not in (None, kept["before"]):
            self.remove()
            return True
        check_output(self._output, if_exists=self.if_exists)
        if interrupted and kept["identity"] != identity:
            raise RunError(
                f"Another training was interrupted at {self._output} (other configuration or dataset). "
                "Repeat that one to finish it, or pass --if-exists restart to forget it."
            )
        if if_exists == "resume" and not interrupted:
            raise RunError(
                f"--if-exists resume needs an interrupted training at {self._output}. There is none. "
                "Leave it out to begin one."
            )
        self._take()
        self._clear_scratch()
        write_text(marker, json.dumps({**kept, "identity": identity}))
        return False

    def _manifest(self) -> str | None:
        """The checksum of the output's manifest, which differs between the run before and a new one."""
        path = self._output / MANIFEST_NAME
        return sha256(path) if path.is_file() else None

    def _take(self) -> None:
        if self._lock is not None:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / _LOCK).open("a")
        if not try_lock(self._lock):
            self.release()
            raise RunError(
                f"One process may train at {self._output} at a time. Another one does. Wait for it, or end it."
            )

    def _empty(self) -> None:
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _LOCK:
                path.unlink()

    def _clear_scratch(self) -> None:
        """Removes what a process left that was killed while it wrote."""
        for path in self.path.glob(".*"):
            path.unlink()
        sweep_scratch(self._output)

    def release(self) -> None:
        """Lets another process have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Deletes the folder, once the run is complete, and with it a run that was replaced."""
        self._clear_scratch()
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()


class Checkpoints(TrainingCallback):
    """Writes checkpoints, continues from the newest whole one, and ends training after a signal.

    It must be the last of the callbacks, so that a checkpoint holds what the others did. `folder` is None on a worker
    that is not the chief.
    """

    def __init__(self, folder: Path | None, config: TrainingConfig, strategy: Any, interrupts: Interrupts) -> None:
        super().__init__()
        self._folder, self._config, self._strategy, self._interrupts = folder, config, strategy, interrupts
        self._written = time.perf_counter()
        self._variables: dict[str, Any] = {}
        self._callbacks: Sequence[TrainingCallback] = ()

    def restore(
        self, variables: dict[str, Any], progress: TrainingProgress, callbacks: Sequence[TrainingCallback]
    ) -> None:
        """Restores the newest whole checkpoint, if there is one, and makes these the state that is written.

        Args:
            progress: where training stands; the state of its batches is kept too, where they have one.
            callbacks: no two of one class.
        """
        self._variables, self._callbacks = variables, callbacks
        data = broadcast_bytes(self._strategy, self._newest)
        if not data:
            return
        saved = parse(data)
        assign(variables, saved.arrays)
        for callback in callbacks:
            callback.load_state(saved.about["callbacks"][type(callback).__name__])
        if hasattr(progress.batches, "load_state"):
            prefix = "batches/"  # none of them at an epoch's end
            state = {name[len(prefix) :]: array for name, array in saved.arrays.items() if name.startswith(prefix)}
            if state:
                progress.batches.load_state(state)
        progress.load_state(saved.about["progress"])
        within = f", step {progress.step} of {progress.steps_per_epoch}" if progress.step else ""
        _log.info("Continuing an interrupted training after epoch %d of %d%s.", progress.epoch, progress.epochs, within)

    def _newest(self) -> bytes:
        """The bytes of the newest checkpoint that is whole, with the files it needs; none, where there is none."""
        assert self._folder is not None
        for path in saved_files(self._folder, STEP):
            try:
                data = read_bytes(path)
                states = parse(data).about["callbacks"].values()
                for name in (name for state in states for name in state.get("files", ())):
                    read_bytes(self._folder / name)
            except DamagedCheckpointError as error:
                _log.warning("The checkpoint after step %d is damaged and skipped: %s.", step_of(path), error)
            else:
                return data
        return b""

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes a checkpoint if one is due; after a signal, writes one and ends training."""
        # An epoch's last step waits for the callbacks at the epoch's end.
        if self._due_by_time() or (self._due_by_steps() and self.progress.step < self.progress.steps_per_epoch):
            self.write()
        self._stop_after_signal()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """The same, once the other callbacks have decided whether training stops; the chief's decision counts."""
        stop = bool(broadcast_number(self._strategy, int(self.model.stop_training)))
        self.model.stop_training = stop
        if self._due_by_time() or self._due_by_steps():
            self.write()
        if not stop and epoch + 1 < self.progress.epochs:
            self._stop_after_signal()

    def _due_by_time(self) -> bool:
        return time.perf_counter() - self._written >= _SECONDS

    def _due_by_steps(self) -> bool:
        return self._config.checkpoint_steps > 0 and self.progress.total_steps % self._config.checkpoint_steps == 0

    def _stop_after_signal(self) -> None:
        several = is_multi_worker(self._strategy)
        if not (self.progress.interrupted if several else self._interrupts.requested()):
            return
        self.write()
        raise Interrupted(
            self._interrupts.received or 15,
            f"training was stopped after step {self.progress.total_steps}, {self.last()}. "
            "The same command continues it.",
        )

    def write(self) -> None:
        """Writes a checkpoint now, and deletes the oldest."""
        if self._folder is None:
            return
        progress = self.progress
        arrays, about = values(self._variables), progress.state(stop=bool(self.model.stop_training))
        if about["step"] and hasattr(progress.batches, "state"):
            arrays |= {f"batches/{name}": array for name, array in progress.batches.state().items()}
        states = {type(callback).__name__: callback.state() for callback in self._callbacks}
        saved = Saved(arrays, {"progress": about, "callbacks": states})
        path = write_saved(self._folder, STEP, progress.total_steps, saved)
        self._written = time.perf_counter()
        self._thin(path)

    def _thin(self, written: Path) -> None:
        """Deletes checkpoints but the newest, and best weights that none of them needs."""
        assert self._folder is not None
        older = [path for path in saved_files(self._folder, STEP) if step_of(path) < step_of(written)]
        kept = [written, *older[: _KEPT - 1]]
        for path in saved_files(self._folder, STEP):
            if path not in kept:
                path.unlink()
        oldest = step_of(kept[-1])
        bests = saved_files(self._folder, BEST)
        needed = max((step_of(path) for path in bests if step_of(path) < oldest), default=0)
        for path in bests:
            if step_of(path) < needed:
                path.unlink()

    def last(self) -> str:
        """Says which checkpoint there is to continue from."""
        if self._folder is None:
            return "the chief has the checkpoint"
        found = saved_files(self._folder, STEP)
        return f"the last good checkpoint is step {step_of(found[0])}" if found else "there is no checkpoint yet"
