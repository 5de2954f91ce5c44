"""Numbered version folders under a model's base path, such as `recommender/1`, `recommender/2`."""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tfdvbpr.errors import ConfigError, OutputExistsError
from tfdvbpr.files import whole_directory

EXTRA = "assets.extra"
MANIFEST_NAME = "tfdvbpr.json"
Version = int | Literal["auto", "timestamp"]

_MAX_VERSION = 2**63 - 1
_SCRATCH = re.compile(r"\.\d+-.+")
_ABANDONED_SECONDS = 24 * 3600.0
_log = logging.getLogger(__name__)


def version_folder(base_path: Path, version: Version = "auto", *, keep: int | None = None) -> Path:
    """The folder a new version goes to.

    Args:
        base_path: the model's folder, which a server watches; it need not exist yet.
        version: its number; "auto" is one above the highest there is, 1 at first; "timestamp" the seconds since 1970.
        keep: as of `remove_old_versions`; checked here, before any work.

    Raises:
        ConfigError: if the number or `keep` is below 1, or a timestamp would not be the newest.
        OutputExistsError: if that version is there already, or the base path is a file.
    """
    if base_path.is_file():
        raise OutputExistsError(f"`output` must be a folder. Received the file {base_path}. Give another path.")
    if keep is not None and keep < 1:
        raise ConfigError(f"`keep` must be 1 or more. Received {keep}. Leave it out to keep every version.")
    present = versions(base_path)
    newest = max(present, default=0)
    number = {"auto": newest + 1, "timestamp": int(time.time())}[version] if isinstance(version, str) else version
    if not 1 <= number <= _MAX_VERSION:
        raise ConfigError(f"`version` must be a number from 1 on. Received {number}. Leave it out for the next.")
    if number in present:
        raise OutputExistsError(
            f"`version` must be new. {base_path} holds version {number} already. "
            f"Leave it out for {newest + 1}, or delete {present[number]}."
        )
    if version == "timestamp" and number < newest:
        raise ConfigError(
            f"`version` timestamp ({number}) must be above what is there. {base_path} holds {newest}. Leave it out."
        )
    return base_path / str(number)


@contextmanager
def whole_version(folder: Path) -> Iterator[Path]:
    """Yields a scratch folder that becomes the version `folder` when the block ends without an error.

    The scratch folder lies beside it, under a name that no server takes for a version.

    Raises:
        OutputExistsError: if another export has made this version in the meantime.
    """
    _sweep(folder.parent)
    with whole_directory(folder) as scratch:
        yield scratch
        if folder.exists():
            raise OutputExistsError(f"{folder} was made by another export in the meantime. Export again.")


def remove_old_versions(folder: Path, *, keep: int | None) -> list[Path]:
    """Removes all but the newest versions beside one that has just been written.

    A version vanishes whole: it is renamed first. The one just written always stays, and so does what this project did
    not write.

    Args:
        folder: the version just written.
        keep: how many of the newest versions stay; None for all.

    Returns:
        What was removed.
    """
    if keep is None:
        return []
    present = versions(folder.parent)
    old = [present[number] for number in sorted(present)[:-keep] if present[number] != folder]
    removed = []
    for path in old:
        if not (path / EXTRA / MANIFEST_NAME).is_file():
            _log.warning("%s stays: it was not written by tfdvbpr-export.", path)
            continue
        gone = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
        path.rename(gone / path.name)
        shutil.rmtree(gone, ignore_errors=True)
        removed.append(path)
    return removed


def versions(base_path: Path) -> dict[int, Path]:
    """Every numbered entry, whole or not: a server may still know its number."""
    if not base_path.is_dir():
        return {}
    return {int(path.name): path for path in base_path.iterdir() if path.name.isascii() and path.name.isdigit()}


def version_at(path: Path) -> Path:
    """The version folder that a path names: itself, or the newest below a base path.

    Raises:
        ConfigError: if there is none.
    """
    if (path / "saved_model.pb").is_file():
        return path
    present = versions(path)
    if not present:
        raise ConfigError(
            f"PATH must be a version folder such as models/recommender/1, or the folder above. {path} is neither."
        )
    return present[max(present)]


def _sweep(base_path: Path) -> None:
    """Removes scratch folders of exports that were killed a day or more ago."""
    if not base_path.is_dir():
        return
    for path in base_path.iterdir():
        if _SCRATCH.fullmatch(path.name) and path.is_dir():
            age = time.time() - max(entry.stat().st_mtime for entry in (path, *path.iterdir()))
            if age > _ABANDONED_SECONDS:
                _log.warning("%s is removed: an export was ended in the middle of it.", path)
                shutil.rmtree(path, ignore_errors=True)
