"""Waiting for another thread or process: by counting checks, not by the clock, so that a busy machine may be slow."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], *, checks: int = 60_000) -> None:
    """Checks until the condition holds; fails after so many checks, since it never will."""
    for _ in range(checks):
        if condition():
            return
        time.sleep(0.001)
    raise AssertionError(f"The condition must hold. It did not in {checks} checks.")
