"""Waiting for what another thread or process does: by looks, not by the clock, so that a busy machine may be slow."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], *, looks: int = 60_000) -> None:
    """Looks until the condition holds; fails after so many looks, since it never will."""
    for _ in range(looks):
        if condition():
            return
        time.sleep(0.001)
    raise AssertionError(f"The condition must hold. It did not in {looks} looks.")
