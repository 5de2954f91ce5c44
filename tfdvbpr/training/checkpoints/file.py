"""One checkpoint file: named arrays and what is to be said of them, with a checksum in its name.

`step-0000000120-<sha256>.npz` appears whole: it is written beside, brought to the disk, hashed, and renamed. A file
whose bytes do not have the checksum of its name is damaged.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.files import sha256

Arrays = Mapping[str, npt.NDArray[Any]]

_ABOUT = "about.json"
_NAME = re.compile(r"(?P<kind>[a-z]+)-(?P<step>\d{10})-(?P<digest>[0-9a-f]{64})\.npz")


class DamagedCheckpointError(Exception):
    """A checkpoint file whose contents are not those that were written."""


@dataclass(frozen=True)
class Saved:
    """What a checkpoint file holds.

    Attributes:
        arrays: by name.
        about: plain values, as JSON has them.
    """

    arrays: Arrays
    about: Mapping[str, Any]


def write_saved(folder: Path, kind: str, step: int, saved: Saved) -> Path:
    """Writes a checkpoint file whole and durably.

    Args:
        folder: where.
        kind: lower-case letters that the name begins with.
        step: steps done in all.
        saved: what it is to hold; names may hold slashes.

    Raises:
        OSError: as the system has it; nothing is left behind then.
    """
    about = np.frombuffer(json.dumps(dict(saved.about)).encode(), np.uint8)
    scratch = folder / f".{kind}-{os.getpid()}.npz"
    try:
        with scratch.open("wb") as file:
            np.savez(file, **{_ABOUT: about}, **saved.arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        path = folder / f"{kind}-{step:010d}-{sha256(scratch)}.npz"
        scratch.replace(path)
        _sync(folder)
    finally:
        scratch.unlink(missing_ok=True)
    return path


def _sync(folder: Path) -> None:
    """Brings the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def saved_files(folder: Path, kind: str) -> list[Path]:
    """The checkpoint files of a kind, the newest first."""
    found = [path for path in folder.glob(f"{kind}-*.npz") if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: path.name, reverse=True)


def step_of(path: Path) -> int:
    """Steps done in all, by a checkpoint file's name."""
    return int(path.name.split("-")[1])


def read_bytes(path: Path) -> bytes:
    """A checkpoint file's bytes.

    Raises:
        DamagedCheckpointError: if they cannot be read or are not those that were written.
    """
    named = _NAME.fullmatch(path.name)
    try:
        if named is None or sha256(path) != named["digest"]:
            raise DamagedCheckpointError(f"{path.name} does not have the checksum of its name")
        return path.read_bytes()
    except OSError as error:
        raise DamagedCheckpointError(f"{path.name} cannot be read ({error.strerror})") from None


def parse(data: bytes) -> Saved:
    """What the bytes of a checkpoint file hold."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        named = {name: arrays[name] for name in arrays.files}
    return Saved(named, json.loads(named.pop(_ABOUT).tobytes()))
