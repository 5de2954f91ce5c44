"""Weights files that would expand, refer elsewhere, or meet a full disk."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tfdvbpr.models.weights import load_weights, save_weights


class _Model:
    """As the discriminators do, it leaves the file to HDF5."""

    def __init__(self, size: int = 300) -> None:
        self.array = np.random.default_rng(0).random((size, size))

    def save_weights(self, path: Any) -> None:
        with h5py.File(path, "w") as file:
            for number, row in enumerate(self.array):
                file.create_group(f"layer{number}/vars")["0"] = row

    def load_weights(self, path: Path) -> None:
        with h5py.File(path) as file:
            self.array = np.stack([file[f"layer{number}/vars/0"] for number in range(len(file))])


def test_weights_come_back(tmp_path: Path) -> None:
    model, again = _Model(), _Model(1)
    save_weights(model, tmp_path / "model.weights.h5")
    load_weights(again, tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(again.array, model.array)
    assert [path.name for path in tmp_path.iterdir()] == ["model.weights.h5"]


@pytest.mark.parametrize("room", [0, 1000, 100_000, 700_000])
def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path: Path, room: int) -> None:
    """HDF5 itself would end the process with a segmentation fault."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    model = _Model()
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_weights(model, tmp_path / "model.weights.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())
    save_weights(model, tmp_path / "model.weights.h5")


def _deflated(file: Any) -> None:
    file.create_dataset("0", shape=(1 << 20, 1 << 20), chunks=(1 << 10, 1 << 10), compression="gzip", dtype="f4")


def _declared(file: Any) -> None:
    file.create_dataset("0", shape=(1 << 20, 1 << 20), dtype="f4")


def _linked(file: Any) -> None:
    file["0"] = h5py.ExternalLink("/etc/hostname", "/")


def _soft(file: Any) -> None:
    file["0"] = h5py.SoftLink("/1")


def _external(file: Any) -> None:
    file.create_dataset("0", shape=(10,), dtype="u1", external=[("/etc/hostname", 0, 10)])


def _text(file: Any) -> None:
    file.create_dataset("0", data=["x" * 10], dtype=h5py.string_dtype())


def _circle(file: Any) -> None:
    file["0"] = file["/"]


@pytest.mark.parametrize("write", [_deflated, _declared, _linked, _soft, _external, _text, _circle])
def test_a_file_that_is_more_than_its_bytes_is_refused(tmp_path: Path, write: Callable[[Any], None]) -> None:
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        write(file)
    with pytest.raises(ValueError, match=r"plain array|declares more"):
        load_weights(_Model(1), path)
