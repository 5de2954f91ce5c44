"""Version folders such as `recommender/1`, `recommender/2`: their numbers, whole writing, clean-up and manifest."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tfdvbpr.errors import ConfigError, OutputExistsError
from tfdvbpr.files import remove_whole, sweep_scratch, whole_directory

EXTRA = "assets.extra"
MANIFEST_NAME = "tfdvbpr.json"
RECORDED_NAME = "tfdvbpr_recorded_answers"
FORMAT_VERSION = 3  # of the manifest

_MAX_VERSION = 2**63 - 1
_SCRATCH = re.compile(r"\.(\d+)\.(lock|(scratch|old)-.+)")
_log = logging.getLogger(__name__)


def next_version(base_path: Path, *, keep: int | None = None) -> Path:
    """The folder of the next version: one above the highest number in use, 1 at first. `keep` is only checked.

    Raises:
        ConfigError: if `keep` is below 1, or no number is left.
        OutputExistsError: if the base path is a file.
    """
    if base_path.is_file():
        raise OutputExistsError(f"`output` must be a folder. Received the file {base_path}. Give another path.")
    if keep is not None and keep < 1:
        raise ConfigError(f"`keep` must be 1 or more. Received {keep}. Leave it out to keep every version.")
    newest = max(versions(base_path), default=0)
    if newest >= _MAX_VERSION:
        raise ConfigError(f"`output` must have room for another version. {base_path} holds {newest}. Remove it.")
    return base_path / str(newest + 1)


@contextmanager
def whole_version(folder: Path) -> Iterator[Path]:
    """Yields a scratch folder that becomes the version `folder` when the block ends without an error.

    The scratch folder lies beside it, under a name that no server takes for a version. `OutputExistsError` if another
    export has made this version in the meantime.
    """
    _remove_abandoned(folder.parent)
    with whole_directory(folder) as scratch:
        yield scratch
        if folder.exists():
            raise OutputExistsError(f"{folder} was made by another export in the meantime. Export again.")


def remove_old_versions(folder: Path, *, keep: int | None) -> list[Path]:
    """Removes all but the newest `keep` versions beside one that has just been written; returns the removed folders.

    A version vanishes whole: it is renamed first. The one just written always stays, and so does every folder that
    tfdvbpr-export did not write.
    """
    if keep is None:
        return []
    present = versions(folder.parent)
    removed = []
    for path in (present[number] for number in sorted(present)[:-keep] if present[number] != folder):
        if not (path / EXTRA / MANIFEST_NAME).is_file():
            _log.warning("%s is kept: tfdvbpr-export did not write it.", path)
            continue
        with suppress(OutputExistsError):  # another export removes it
            remove_whole(path)
            removed.append(path)
    return removed


def versions(base_path: Path) -> dict[int, Path]:
    """Every numbered entry, whole or not: a server may still know its number."""
    if not base_path.is_dir():
        return {}
    return {int(path.name): path for path in base_path.iterdir() if path.name.isascii() and path.name.isdigit()}


def version_at(path: Path) -> Path:
    """The version folder that a path names: itself, or the newest below a base path; ConfigError if there is none."""
    if (path / "saved_model.pb").is_file():
        return path
    present = versions(path)
    if not present:
        raise ConfigError(
            f"PATH must be a version folder such as models/recommender/1, or the folder above. {path} is neither."
        )
    return present[max(present)]


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a version folder, or of the newest below a base path.

    Raises:
        ConfigError: if there is no version, or it was not written by this version of tfdvbpr-export.
    """
    folder = version_at(path)
    file = folder / EXTRA / MANIFEST_NAME
    if not file.is_file():
        raise ConfigError(f"PATH must be written by tfdvbpr-export. {folder} has no {EXTRA}/{MANIFEST_NAME}.")
    manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ConfigError(
            f"PATH must be of format version {FORMAT_VERSION}. {folder} is of {manifest.get('format_version')}. "
            "Export it again."
        )
    return manifest


def _remove_abandoned(base_path: Path) -> None:
    """Removes what killed exports left of any version, unless one is writing it."""
    if base_path.is_dir():
        found = {match[1] for path in base_path.iterdir() if (match := _SCRATCH.fullmatch(path.name))}
        for number in sorted(found):
            sweep_scratch(base_path / number)
