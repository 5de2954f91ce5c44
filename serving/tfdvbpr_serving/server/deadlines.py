"""Ends what takes too long: callers that never send their message, and requests past the server's longest time."""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from tfdvbpr_serving.server.requests import RequestError

_TICK_SECONDS = 0.1
_RUSH_SECONDS = 0.2


class Deadlines:
    """One thread that calls a function for everything whose time has passed.

    Example:
        >>> deadlines = Deadlines()
        >>> deadlines.start()
        >>> late = threading.Event()
        >>> with deadlines.watch(0.01, late.set):
        ...     late.wait(5)
        True
        >>> deadlines.stop()
    """

    def __init__(self) -> None:
        self._watched: dict[int, tuple[float, Callable[[], object]]] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tfdvbpr-deadlines", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    @contextmanager
    def watch(self, seconds: float, end: Callable[[], object]) -> Iterator[None]:
        """Calls `end` once, from another thread, if the block takes longer; at most a tick (0.1 s) late."""
        number = next(self._numbers)
        with self._lock:
            self._watched[number] = (time.monotonic() + seconds, end)
        try:
            yield
        finally:
            with self._lock:
                self._watched.pop(number, None)

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_SECONDS):
            now = time.monotonic()
            with self._lock:
                late = [number for number, (deadline, _) in self._watched.items() if deadline <= now]
                ends = [self._watched.pop(number)[1] for number in late]
            for end in ends:
                end()

    def stop(self) -> None:
        """Ends the thread. Safe to call twice."""
        self._stopping.set()


class Readers:
    """Callers whose message has not arrived yet.

    Each has `seconds`. Past `most` of them, the one that has waited longest is cut off for each that comes, so that a
    caller who sends a message at once is not shut out by those who send none. One that has just come is not cut off:
    in a rush, the next one gets the error that the server is full.
    """

    def __init__(self, deadlines: Deadlines, *, most: int, seconds: float) -> None:
        self._deadlines = deadlines
        self._most = most
        self._seconds = seconds
        self._waiting: OrderedDict[int, tuple[float, Callable[[], object]]] = OrderedDict()
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    @contextmanager
    def reading(self, cut_off: Callable[[], object]) -> Iterator[None]:
        """The time in which a message is read; `cut_off` ends the reading. RESOURCE_EXHAUSTED in a rush."""
        number, now, oldest = next(self._numbers), time.monotonic(), None
        with self._lock:
            if len(self._waiting) >= self._most:
                first, (since, oldest) = next(iter(self._waiting.items()))
                if now - since < _RUSH_SECONDS:
                    raise RequestError(
                        grpc.StatusCode.RESOURCE_EXHAUSTED,
                        f"At most {self._most} requests may be read at a time. The server is full. Try later.",
                    )
                del self._waiting[first]
            self._waiting[number] = (now, cut_off)
        if oldest is not None:
            oldest()
        try:
            with self._deadlines.watch(self._seconds, cut_off):
                yield
        finally:
            with self._lock:
                self._waiting.pop(number, None)
