"""A source's pictures, read from below one folder and from nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def pictures_below(folder: Path) -> Callable[[str], bytes]:
    """Reads a picture's bytes by its path inside `folder`; raises OSError for what is missing or lies outside."""
    root = folder.resolve()

    def image_bytes(image: str) -> bytes:
        try:
            path = (root / image).resolve()
        except (ValueError, RuntimeError):  # a NUL, or links in a circle
            raise OSError("not a path") from None
        if not path.is_relative_to(root):
            raise OSError("the path leaves the source folder")
        return path.read_bytes()

    return image_bytes
