"""Draws the next steps while the present one runs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from tfdvbpr.data.batches.source import Batch

_PREFETCH = 3


def prefetched(steps: Iterator[list[Batch]]) -> Iterator[list[Batch]]:
    """Draws ahead on a thread; NumPy and JPEG decoding leave Python's lock."""
    ready: queue.Queue[list[Batch] | BaseException | None] = queue.Queue(maxsize=_PREFETCH)
    stopped = threading.Event()

    def put(value: list[Batch] | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                ready.put(value, timeout=0.1)
                break
            except queue.Full:
                continue

    def draw() -> None:
        try:
            for parts in steps:
                put(parts)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    threading.Thread(target=draw, daemon=True).start()
    try:
        while (parts := ready.get()) is not None:
            if isinstance(parts, BaseException):
                raise parts
            yield parts
    finally:
        stopped.set()
