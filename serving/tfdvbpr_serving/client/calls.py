"""A request under way: how long it is still wanted, and by whom."""

from __future__ import annotations

import time
from collections.abc import Callable


class Call:
    """Until when an answer is wanted, and whether anyone still waits for it.

    One watcher at a time is told when the caller goes away. Setting the watcher looks at the flag afterwards, and
    `abandon` sets the flag first, so that no order of the two leaves the watcher untold; watchers must bear being told
    twice.

    Args:
        seconds_left: None for no deadline.

    Attributes:
        deadline: on the clock of `time.monotonic`; None for none.
        abandoned: True once the caller has cancelled, hung up or been answered.
    """

    __slots__ = ("_watcher", "abandoned", "deadline")

    def __init__(self, seconds_left: float | None = None) -> None:
        self.deadline = None if seconds_left is None else time.monotonic() + seconds_left
        self.abandoned = False
        self._watcher: Callable[[], object] | None = None

    def seconds_left(self) -> float | None:
        """Until the deadline, 0 when it has passed; None where there is none."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @property
    def wanted(self) -> bool:
        """Whether it is worth working on."""
        return not (self.abandoned or self.expired)

    def abandon(self) -> None:
        """The caller is gone: tells whoever works on it. Safe to call twice, from any thread."""
        self.abandoned = True
        watcher = self._watcher
        if watcher is not None:
            watcher()

    def watch(self, watcher: Callable[[], object] | None) -> None:
        """Has a watcher told when the caller goes away, at once if that has happened; None for nobody."""
        self._watcher = watcher
        if watcher is not None and self.abandoned:
            watcher()
