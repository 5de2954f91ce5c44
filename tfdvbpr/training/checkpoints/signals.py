"""SIGINT and SIGTERM: training finishes its step, writes a checkpoint, and the process exits with 130 or 143."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SystemExit):
    """Training stopped after a signal; the exit code is the shell's, 128 + the signal's number.

    It is no `Exception`, so that code that handles errors does not catch it. `message` is a line with what to do.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(128 + number)
        self.message = message

    def __str__(self) -> str:
        return self.message


class Interrupts:
    """Notes the first signal in `received` instead of ending the process; a second one ends it at once.

    Python calls handlers on the main thread alone: on another thread nothing is installed.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # A process in a shell's background or under nohup ignores Ctrl-C, and goes on doing so.
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def requested(self) -> bool:
        """Whether a signal came."""
        return self.received is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, before = self._before.popitem()
            # None is a handler that was not installed by Python.
            signal.signal(number, signal.SIG_DFL if before is None else before)
