"""One checkpoint file: named arrays and plain values, with a checksum in its name; and variables as named arrays.

`step-0000000120-<sha256>.npz` appears whole: it is written beside, flushed to the disk, hashed, and renamed. A file
whose bytes do not have the checksum of its name is damaged.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.arrays import read_npz
from tfdvbpr.errors import RunError
from tfdvbpr.files import sha256

Arrays = Mapping[str, npt.NDArray[Any]]

# Kinds of files: a checkpoint of all state after a step, and the best weights so far.
STEP, BEST = "step", "best"

_ABOUT = "about.json"
_NAME = re.compile(r"(?P<kind>[a-z]+)-(?P<step>\d{10})-(?P<digest>[0-9a-f]{64})\.npz")


class DamagedCheckpointError(Exception):
    """A checkpoint file whose contents are not those that were written."""


@dataclass(frozen=True)
class Saved:
    """What a checkpoint file holds: arrays by name, and plain values as JSON has them."""

    arrays: Arrays
    about: Mapping[str, Any]


def write_saved(folder: Path, kind: str, step: int, saved: Saved) -> Path:
    """Writes a checkpoint file whole and durably; `kind` is of lower-case letters, `step` the steps done in all.

    Raises:
        OSError: from the system; nothing is left behind then.
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
    """Flushes the names in a folder to the disk."""
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
    named = read_npz(io.BytesIO(data))
    return Saved(named, json.loads(named.pop(_ABOUT).tobytes()))


def variables(trackables: Mapping[str, Any]) -> dict[str, Any]:
    """Every variable once, by what holds it (a built model or optimizer, a list, itself) and its number there."""
    found: dict[str, Any] = {}
    met: set[int] = set()
    for name, holder in trackables.items():
        for number, variable in enumerate(_held(holder)):
            variable = getattr(variable, "value", variable) if hasattr(variable, "path") else variable
            if id(variable) not in met:
                met.add(id(variable))
                found[f"{name}/{number}"] = variable
    return found


def _held(holder: Any) -> Iterator[Any]:
    if isinstance(holder, list | tuple):
        for each in holder:
            yield from _held(each)
    elif hasattr(holder, "variables"):
        yield from holder.variables
    else:
        yield holder


def values(named: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """The variables' values now.

    Raises:
        FloatingPointError: if one is not finite.
    """
    arrays = {name: np.asarray(variable.numpy()) for name, variable in named.items()}
    for name, array in arrays.items():
        if array.dtype.kind in "fV" and not np.isfinite(array).all():
            raise FloatingPointError(
                f"Every weight must stay finite. {named[name].name} is not. Lower the learning rate."
            )
    return arrays


def assign(named: Mapping[str, Any], arrays: Arrays) -> None:
    """Puts values back into their variables.

    Raises:
        RunError: if they are of another model.
    """
    for name, variable in named.items():
        if name not in arrays or arrays[name].shape != tuple(variable.shape):
            raise RunError(
                f"A checkpoint must fit the model. It has no {name} of shape {tuple(variable.shape)}: another version "
                "of the library wrote it. Begin anew with --if-exists restart."
            )
        array = arrays[name]
        # NumPy's files know bfloat16 by its size alone.
        variable.assign(array.view(variable.dtype.as_numpy_dtype) if array.dtype.kind == "V" else array)
