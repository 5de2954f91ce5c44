"""A disk that is full: the process may write no larger files."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def room_for_files_of(num_bytes: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def sizes_that_fail(folder: Path) -> list[int]:
    """A byte less than each file needs, so that each is the first to fail once."""
    return sorted({path.stat().st_size - 1 for path in folder.rglob("*") if path.is_file() and path.stat().st_size})
