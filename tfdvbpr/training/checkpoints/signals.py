"""SIGINT and SIGTERM: the step under way is finished, a checkpoint written, and the process ends with 130 or 143."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SystemExit):
    """Training was asked to stop and has; its code is the shell's, 128 + the signal's number.

    No `Exception`, so that nothing that handles errors takes it for one.

    Attributes:
        message: a line for people, with what to do to go on.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(128 + number)
        self.message = message

    def __str__(self) -> str:
        return self.message


class Interrupts:
    """Takes the first signal down instead of ending the process; a second one ends it at once.

    Python calls handlers on the main thread alone: elsewhere nothing is installed, and signals do what they did.

    Attributes:
        received: the signal's number, None before it.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # What a shell has put in the background, or nohup has, is not to hear of Ctrl-C.
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_back()

    def asked(self) -> bool:
        """Whether a signal came."""
        return self.received is not None

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._put_back()

    def _put_back(self) -> None:
        while self._before:
            number, before = self._before.popitem()
            # None stands for a handler that was not Python's.
            signal.signal(number, signal.SIG_DFL if before is None else before)
