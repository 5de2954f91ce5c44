"""Numbered version folders under a model's base path, such as `recommender/1`, `recommender/2`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfdvbpr.errors import ConfigError, OutputExistsError
from tfdvbpr.files import whole_directory

_MAX_VERSION = 2**63 - 1


def version_folder(base_path: Path, version: int | None) -> Path:
    """The folder a new version goes to.

    Args:
        base_path: the model's folder, which a server watches; it need not exist yet.
        version: its number; left out, one above the highest there is, 1 at first.

    Raises:
        ConfigError: if the number is below 1.
        OutputExistsError: if that version is there already, or the base path is a file.
    """
    if base_path.is_file():
        raise OutputExistsError(f"`output` must be a folder. Received the file {base_path}. Give another path.")
    present = _versions(base_path)
    if version is None:
        version = max(present, default=0) + 1
    if not 1 <= version <= _MAX_VERSION:
        raise ConfigError(f"`version` must be a number from 1 on. Received {version}. Leave it out for the next.")
    if version in present:
        raise OutputExistsError(
            f"`version` must be new. {base_path} holds version {version} already. "
            f"Leave it out for {max(present) + 1}, or delete {present[version]}."
        )
    return base_path / str(version)


@contextmanager
def whole_version(folder: Path) -> Iterator[Path]:
    """Yields a scratch folder that becomes the version `folder` when the block ends without an error.

    The scratch folder lies beside it, under a name that no server takes for a version.

    Raises:
        OutputExistsError: if another export has made this version in the meantime.
    """
    with whole_directory(folder) as scratch:
        yield scratch
        if folder.exists():
            raise OutputExistsError(f"{folder} was made by another export in the meantime. Export again.")


def _versions(base_path: Path) -> dict[int, Path]:
    """Every numbered entry, whole or not: a server may still know its number."""
    if not base_path.is_dir():
        return {}
    return {int(path.name): path for path in base_path.iterdir() if path.name.isascii() and path.name.isdigit()}
