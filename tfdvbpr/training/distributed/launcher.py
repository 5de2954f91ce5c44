"""Several worker processes of one training on this machine, as a cluster's scheduler would start them on several."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from tfdvbpr.errors import ConfigError, LostWorkerError
from tfdvbpr.training.checkpoints.signals import Interrupted, Interrupts

COMMANDS = ("train", "train-gan")

# Without the other workers, one may hang in an all-reduce, where no signal reaches Python.
_GRACE_SECONDS = 10.0
# After a signal a worker writes a checkpoint first.
_CHECKPOINT_SECONDS = 120.0
_POLL_SECONDS = 0.1
# The exit code of an error that the user can correct, and that starting again does not.
_USER_ERROR = 2

Emit = Callable[[str], None]


def launch(command: Sequence[str], *, workers: int, restarts: int = 0, emit: Emit = print) -> None:
    """Runs `tfdvbpr COMMAND` in several processes that train together, and waits for them.

    Each gets a TF_CONFIG with free ports of this machine, and its part of the GPUs where CUDA_VISIBLE_DEVICES names
    several. If one fails, the others are ended. A signal is passed on to them, and they write a checkpoint.

    Args:
        restarts: how often all are started again, from the last checkpoint, after one has failed.
        emit: takes each line that a worker prints, with its number before it.

    Raises:
        ConfigError: if the command is another.
        LostWorkerError: if one failed, and no restart is left.
        Interrupted: after SIGINT or SIGTERM.
    """
    if not command or command[0] not in COMMANDS:
        raise ConfigError(
            f"`launch` runs {' or '.join(COMMANDS)}. Received {' '.join(command[:1]) or 'nothing'}. "
            "Say: tfdvbpr launch --workers 2 -- train DATASET --output RUN"
        )
    with Interrupts() as interrupts:
        for attempt in range(restarts + 1):
            failure = _Attempt(command, workers, emit).run(interrupts)
            if failure is None:
                return
            code, reason = failure
            if code == _USER_ERROR or attempt == restarts:
                again = "" if code == _USER_ERROR else " The same command continues from the last checkpoint."
                raise LostWorkerError(f"Every worker must end well. {reason} The others were ended too.{again}")
            emit(f"[launch] {reason} All start again from the last checkpoint ({attempt + 1} of {restarts} restarts).")


class _Attempt:
    """The processes from one start to their end."""

    def __init__(self, command: Sequence[str], workers: int, emit: Emit) -> None:
        addresses = [f"localhost:{port}" for port in _free_ports(workers)]
        self._emit = emit
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-u", "-m", "tfdvbpr.cli", *command],
                env=_environment(addresses, number),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # a terminal's Ctrl-C reaches them through the launcher alone
            )
            for number in range(workers)
        ]
        self._readers = [threading.Thread(target=self._read, args=(number,), daemon=True) for number in range(workers)]
        for reader in self._readers:
            reader.start()

    def _read(self, number: int) -> None:
        stream = self._processes[number].stdout
        for line in stream or ():
            self._emit(f"[worker {number}] {line.rstrip()}")

    def run(self, interrupts: Interrupts) -> tuple[int, str] | None:
        """Waits for the end; the exit code and a sentence about the worker that failed, None if none did."""
        try:
            while True:
                codes = [process.poll() for process in self._processes]
                if interrupts.received is not None:
                    self._end(interrupts.received, _CHECKPOINT_SECONDS)
                    raise Interrupted(interrupts.received, "the workers were stopped; the same command continues.")
                failed = [number for number, code in enumerate(codes) if code]
                if failed:
                    # One that was killed is the cause; one with an error may only have lost its connection.
                    first = min(failed, key=lambda number: codes[number] or 0)
                    self._end(signal.SIGTERM, _GRACE_SECONDS)
                    return codes[first] or 0, _end_of(first, codes[first] or 0)
                if all(code == 0 for code in codes):
                    return None
                time.sleep(_POLL_SECONDS)
        finally:
            self._end(signal.SIGKILL, _GRACE_SECONDS)
            for process, reader in zip(self._processes, self._readers, strict=True):
                reader.join(_GRACE_SECONDS)
                if process.stdout is not None:
                    process.stdout.close()

    def _end(self, number: int, grace: float) -> None:
        """Sends a signal to the running processes, and kills those that still run after `grace` seconds."""
        left = [process for process in self._processes if process.poll() is None]
        for process in left:
            process.send_signal(number)
        deadline = time.monotonic() + grace
        for process in left:
            try:
                process.wait(max(deadline - time.monotonic(), 0.01))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _end_of(number: int, code: int) -> str:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"Worker {number} {how}."


def _environment(addresses: Sequence[str], number: int) -> dict[str, str]:
    config = {"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": number}}
    return {**os.environ, "TF_CONFIG": json.dumps(config), **_gpus(os.environ, len(addresses), number)}


def _gpus(environment: Mapping[str, str], workers: int, number: int) -> dict[str, str]:
    """This worker's part of the GPUs that are named, the same number for each."""
    gpus = [gpu for gpu in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu.strip()]
    each = len(gpus) // workers
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus[number * each : (number + 1) * each])} if each else {}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
