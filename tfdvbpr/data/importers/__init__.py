"""One file a source; each turns what it finds into a `Source`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.source import Source

IMPORTERS: dict[str, Callable[[Path], Source]] = {"folder": read_folder}

__all__ = ["IMPORTERS", "read_folder"]
