"""NumPy's files that declare more than they hold; memory is that of a child with 3 GB at most."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfdvbpr.arrays import read_npy, read_npz


def _npy(shape: tuple[int, ...], data: bytes = b"", descr: str = "<f4") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


def _npz(path: Path, entries: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    return path


def test_what_numpy_writes_comes_back(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array(7),
        "c": np.zeros((0, 4)),
    }
    np.savez(tmp_path / "x.npz", **arrays)
    for found in (read_npz(tmp_path / "x.npz"), read_npz(io.BytesIO((tmp_path / "x.npz").read_bytes()))):
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
    np.save(tmp_path / "x.npy", np.asfortranarray(arrays["a"]))
    np.testing.assert_array_equal(read_npy(tmp_path / "x.npy"), arrays["a"])


def test_a_deflated_file_is_not_expanded(tmp_path: Path) -> None:
    """64 MB of zeros in 64 kB."""
    path = _npz(tmp_path / "x.npz", {"a": _npy((1 << 24,), bytes(1 << 26))}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 17
    with pytest.raises(ValueError, match="without compression"):
        read_npz(path)


@pytest.mark.parametrize("shape", [(1 << 40,), (1 << 20, 1 << 20), (3,), (0,), (-1,)])
def test_a_header_must_agree_with_the_bytes_after_it(tmp_path: Path, shape: tuple[int, ...]) -> None:
    data = _npy(shape, bytes(16))
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(ValueError, match=r"not what .* bytes hold"):
        read_npy(tmp_path / "x.npy")
    with pytest.raises(ValueError, match=r"not what .* bytes hold"):
        read_npz(_npz(tmp_path / "x.npz", {"a": data}))


def test_objects_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(_npy((1,), b"\x80\x04N.    ", "|O"))
    with pytest.raises(ValueError, match="object"):
        read_npy(tmp_path / "x.npy")


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """Every name of the directory points at the one entry there is."""
    path = _npz(tmp_path / "x.npz", {"a": _npy((1000,), bytes(4000))})
    with zipfile.ZipFile(path, "a") as archive:
        (first,) = archive.infolist()
        for number in range(100):
            again = zipfile.ZipInfo(f"b{number}.npy")
            again.header_offset, again.CRC = first.header_offset, first.CRC
            again.file_size, again.compress_size = first.file_size, first.compress_size
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
        archive._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="as numpy"):
        read_npz(path)


@pytest.mark.parametrize("data", [b"", b"PK", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x03\x00\x00\x00\x00\x00", bytes(100)])
def test_a_damaged_file_is_a_value_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    for read in (read_npy, read_npz):
        with pytest.raises(ValueError, match=r"."):
            read(tmp_path / "x")
