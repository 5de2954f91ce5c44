"""Keeps callers from filling the log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable


class FewerLines(logging.Filter):
    """Lets a few lines of each place in the code through in a time, and says how many it has left out.

    Args:
        most: lines of one place.
        seconds: in which so many are let through.
        clock: in seconds.

    Example:
        >>> handler = logging.StreamHandler()
        >>> handler.addFilter(FewerLines())
    """

    def __init__(self, *, most: int = 20, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._places: dict[tuple[str, int], tuple[float, int]] = {}  # when its time began, and lines since

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the line."""
        now = self._clock()
        place = (record.pathname, record.lineno)
        with self._lock:
            began, lines = self._places.get(place, (now, 0))
            left_out = 0
            if now - began >= self._seconds:
                began, lines, left_out = now, 0, max(0, lines - self._most)
            self._places[place] = (began, lines + 1)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} like it not shown)", None
        return lines < self._most
