"""The training state of one output folder, so that a crash costs seconds: `.{name}.training` beside the run to be.

The folder holds what is being trained (`training.json`), the newest checkpoints, the best weights so far and the log.
The chief alone writes and reads it; the other workers are told what it read.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from tfdvbpr.config import TrainingConfig
from tfdvbpr.errors import RunError
from tfdvbpr.files import check_output, sha256, write_text
from tfdvbpr.run import MANIFEST_NAME
from tfdvbpr.training.checkpoints.file import (
    Arrays,
    DamagedCheckpointError,
    Saved,
    parse,
    read_bytes,
    saved_files,
    step_of,
    write_saved,
)
from tfdvbpr.training.checkpoints.state import assign, values
from tfdvbpr.training.engine.loop import Batches, Moment, Position

STEP, BEST = "step", "best"
_IDENTITY = "training.json"
_LOCK = "lock"


class Keeper(Protocol):
    """Something beside the weights that goes on where a checkpoint left it: plain values, as JSON has them.

    Names of checkpoint files that it needs stand under "files".
    """

    def state(self) -> dict[str, Any]:
        """What is to be kept."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes up what was kept."""
        ...


class TrainingFolder:
    """The folder that an output's training state lies in; one process at a time has it.

    Args:
        output: the run folder that is being made.
        config: must be the interrupted training's, to take it up, but for its `RUN_FIELDS`.
        fingerprint: the dataset's; likewise.
        overwrite: whether a run may be replaced.
        restart: forget an interrupted training.
        resume: refuse to begin a new one.

    Attributes:
        path: the folder.
        finished: the run is whole already: nothing was left to do but to clear the folder away.

    Raises:
        OutputExistsError: if `output` holds something else.
        RunError: if another training was interrupted at this output and `restart` is false, another process trains
            there, or there is nothing to resume.
    """

    def __init__(
        self,
        output: Path,
        config: TrainingConfig,
        fingerprint: str,
        *,
        overwrite: bool = False,
        restart: bool = False,
        resume: bool = False,
    ) -> None:
        self._output = output
        self.path = output.parent / f".{output.name}.training"
        self._lock: IO[str] | None = None
        about = config.model_dump(mode="json", exclude=set(type(config).RUN_FIELDS))
        identity = json.dumps({"config": about, "dataset": fingerprint}, sort_keys=True)
        try:
            self.finished = self._open(identity, overwrite=overwrite, restart=restart, resume=resume)
        except BaseException:
            self.release()
            raise

    def _open(self, identity: str, *, overwrite: bool, restart: bool, resume: bool) -> bool:
        marker = self.path / _IDENTITY
        there = marker.is_file()
        if there:
            self._take()
        if there and restart:
            self._empty()
            there = False
        kept = json.loads(marker.read_text(encoding="utf-8")) if there else {"before": self._manifest()}
        if there and kept["identity"] == identity and self._manifest() not in (None, kept["before"]):
            self.remove()
            return True
        check_output(self._output, if_exists="overwrite" if overwrite else "error")
        if there and kept["identity"] != identity:
            raise RunError(
                f"Another training was interrupted at {self._output} (other configuration or dataset). "
                "Repeat that one to finish it, or pass --restart to forget it."
            )
        if resume and not there:
            raise RunError(
                f"--resume needs an interrupted training at {self._output}. There is none. Leave it out to begin."
            )
        self._take()
        self._clear_scratch(r"[a-z0-9_]{8}")
        write_text(marker, json.dumps({**kept, "identity": identity}))
        return False

    def _manifest(self) -> str | None:
        """The checksum of what the output says of itself, to tell a new run from the one that was there before."""
        path = self._output / MANIFEST_NAME
        return sha256(path) if path.is_file() else None

    def _take(self) -> None:
        if self._lock is not None:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / _LOCK).open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise RunError(
                f"One process may train at {self._output} at a time. Another one does. Wait for it, or end it."
            ) from None
        except OSError:  # a disk without locks: nobody is kept out
            pass

    def _empty(self) -> None:
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _LOCK:
                path.unlink()

    def _clear_scratch(self, pattern: str) -> None:
        """What a process that was killed while it wrote has left."""
        for path in self.path.glob(".*"):
            path.unlink()
        for path in self._output.parent.iterdir():
            if re.fullmatch(rf"\.{re.escape(self._output.name)}-{pattern}", path.name):
                shutil.rmtree(path, ignore_errors=True)

    def release(self) -> None:
        """Lets another process have it."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def remove(self) -> None:
        """Deletes it, once the run folder is whole, and with it a run that one replaced."""
        self._clear_scratch(r"(old-)?[a-z0-9_]{8}")
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()


class Checkpoints:
    """Writes checkpoints into a training folder and takes the newest whole one up.

    Args:
        folder: where; None on a worker that is not the chief.
        config: when they are written, and how many are kept.
        share: has the chief make bytes that every worker then gets.
        told: takes lines for people.
    """

    def __init__(
        self,
        folder: Path | None,
        config: TrainingConfig,
        *,
        share: Callable[[Callable[[], bytes]], bytes] = lambda make: make(),
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._folder = folder
        self._config = config
        self._share = share
        self._told = told
        self._began = self._written = time.perf_counter()
        self.seconds_before = 0.0
        self._variables: dict[str, Any] = {}
        self._batches: Batches | None = None
        self._keepers: Mapping[str, Keeper] = {}

    def restore(self, variables: dict[str, Any], batches: Batches, keepers: Mapping[str, Keeper]) -> Position:
        """Puts the newest whole checkpoint's values in place, if there is one; from now on these are what is written.

        Args:
            variables: see `state.variables`.
            batches: whose `state` is kept, where it has one.
            keepers: by name.

        Returns:
            Where training goes on.
        """
        self._variables, self._batches, self._keepers = variables, batches, keepers
        data = self._share(self._newest)
        if not data:
            return Position()
        saved = parse(data)
        assign(variables, saved.arrays)
        for name, keeper in keepers.items():
            keeper.load_state(saved.about["keepers"][name])
        if hasattr(batches, "load_state"):
            batches.load_state(_under("batches", saved.arrays))
        self.seconds_before = float(saved.about["seconds"])
        return Position(**saved.about["position"])

    def _newest(self) -> bytes:
        """The bytes of the newest checkpoint that is whole, with all that it needs; none, where there is none."""
        assert self._folder is not None
        for path in saved_files(self._folder, STEP):
            try:
                data = read_bytes(path)
                keepers = parse(data).about["keepers"].values()
                for name in (name for keeper in keepers for name in keeper.get("files", ())):
                    read_bytes(self._folder / name)
            except DamagedCheckpointError as error:
                self._told(f"Warning: the checkpoint after step {step_of(path)} is damaged and skipped: {error}.")
            else:
                return data
        return b""

    def watch(self, moment: Moment) -> None:
        """Called by the loop after each step: writes a checkpoint when one is due."""
        if self._folder is not None and self._due(moment):
            self.write(moment)

    def _due(self, moment: Moment) -> bool:
        config = self._config
        if 0 < config.checkpoint_seconds <= time.perf_counter() - self._written:
            return True
        if moment.between and config.checkpoint_epochs and (moment.epoch + 1) % config.checkpoint_epochs == 0:
            return True
        # An epoch's last step waits for the epoch's actions.
        at_step = config.checkpoint_steps and moment.total_steps % config.checkpoint_steps == 0
        return bool(at_step) and moment.at_end == moment.between

    def write(self, moment: Moment) -> None:
        """Writes a checkpoint now, and deletes the oldest."""
        if self._folder is None:
            return
        position = moment.position()
        arrays = values(self._variables)
        if position.step and self._batches is not None and hasattr(self._batches, "state"):
            arrays |= {f"batches/{name}": array for name, array in self._batches.state().items()}
        about = {
            "position": {**vars(position)},
            "seconds": self.seconds(),
            "keepers": {name: keeper.state() for name, keeper in self._keepers.items()},
        }
        path = write_saved(self._folder, STEP, moment.total_steps, Saved(arrays, about))
        self._written = time.perf_counter()
        self._thin(path)

    def _thin(self, written: Path) -> None:
        assert self._folder is not None
        older = [path for path in saved_files(self._folder, STEP) if step_of(path) < step_of(written)]
        kept = [written, *older[: self._config.keep_checkpoints - 1]]
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
        """Which checkpoint there is to go on from, for people."""
        if self._folder is None:
            return "the chief has the checkpoint"
        found = saved_files(self._folder, STEP)
        return f"the checkpoint after step {step_of(found[0])} is whole" if found else "there is no checkpoint yet"

    def seconds(self) -> float:
        """Seconds of training, with those before an interruption."""
        return self.seconds_before + time.perf_counter() - self._began


def _under(name: str, arrays: Arrays) -> dict[str, Any]:
    return {each[len(name) + 1 :]: array for each, array in arrays.items() if each.startswith(f"{name}/")}
