"""What a pickle may not ask for, and how much of it."""

from __future__ import annotations

import getpass
import io
import os
import pickle
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy._core.multiarray as multiarray
import pytest
from dvbpr_npy_files import NUM_ITEMS, entries, save

from tfdvbpr.data.importers import dvbpr_npy_reader
from tfdvbpr.data.importers.dvbpr_npy import DvbprNpyImporter
from tfdvbpr.errors import SourceError

_SHARED = [1] * 3000


class Asks:
    """An object whose pickle asks for what it is given."""

    def __init__(self, *reduced: Any) -> None:
        self._reduced = reduced

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduced


def _forged_dtype() -> Asks:
    """int64 that claims to have a field of objects, so that raw bytes would pass for pointers."""
    state = (3, "<", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)
    return Asks(np.dtype, ("i8", False, True), state)


def _array(shape: Any, dtype: Any, data: Any, kind: Any = np.ndarray) -> Asks:
    return Asks(multiarray._reconstruct, (kind, (0,), b"b"), (1, shape, dtype, False, data))


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("asks", "named"),
    [
        (Asks(os.system, ("touch made",)), r"needs (posix|nt)\.system"),
        (Asks(getattr, (1, "real")), r"needs (builtins|__builtin__)\.getattr"),
        (Asks(eval, ("1",)), r"needs (builtins|__builtin__)\.eval"),
        (Asks(getpass.getuser, ()), r"needs getpass\.getuser"),
        (Asks(np.load, ("x.npy",)), r"needs numpy\.load"),
        (
            Asks(multiarray.scalar, (np.dtype("O"), b"\0" * 8)),
            r"needs numpy\.core\.multiarray\.scalar of dtype object",
        ),
        (Asks(multiarray.scalar, (_forged_dtype(), b"\0" * 8)), r"needs numpy\.dtype with fields"),
        (Asks(multiarray.scalar, (5, b"\0" * 8)), r"needs numpy\.dtype made from int"),
        (_array((1,), np.dtype("O"), b"\0" * 8), r"needs numpy\.ndarray of objects from raw bytes"),
        (_array((9,), np.dtype("O"), [1]), r"needs numpy\.ndarray of objects from raw bytes"),
        (_array((1,), _forged_dtype(), b"\0" * 8), r"needs numpy\.dtype with fields"),
        (_array((1,), np.dtype([("a", "O")]), [(1,)]), r"needs numpy\.dtype\('V8'\)"),
        (_array((1,), np.dtype("M8[s]"), b"\0" * 8), r"needs numpy\.dtype\('M8'\)"),
        (_array((1,), np.dtype("i8"), b"\0" * 8, np.memmap), r"needs numpy\.memmap"),
        (_array((1,), np.dtype("i8"), b"\0" * 8, np.dtype), r"_reconstruct of another class"),
        (_array((1 << 40,), np.dtype("i8"), b"\0" * 8), "must be whole"),
        (_array((-1,), np.dtype("f8"), b"\0" * 7), "must be whole"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_malicious_file_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int, asks: Asks, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    values = entries(str, categories=False)
    values[3][3]["c"] = asks
    path = save(tmp_path / "bad.npy", values, protocol)
    with pytest.raises(SourceError, match=named):
        dvbpr_npy_reader.read(path, io.BytesIO())
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("opcodes", "named"),
    [
        (b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.", r"multiarray\._reconstruct\.__globals__"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.dumps\x93.", r"needs numpy\.ndarray\.dumps"),
        (b"cnumpy\ndtype\n}b.", "needs a change of what a name means"),
        (
            b"cnumpy.core.multiarray\n_reconstruct\nN}X\x05\x00\x00\x00_callK\x01s\x86b.",
            "a change of what a name means",
        ),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00xX\x03\x00\x00\x00hex\x86R.", r"_codecs\.encode to 'hex'"),
        (b"X\x02\x00\x00\x00idQ.", "other storage"),
        (b"Pid\n.", "other storage"),
        (b"\x82\x01.", "must be whole"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "must be whole"),
        (b"c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R.", "needs bytes of a size"),
        (b"K\x01.", "object array. Received int"),
        (b"", "must be whole"),
    ],
)
def test_hostile_opcodes(tmp_path: Path, opcodes: bytes, named: str) -> None:
    path = _file(tmp_path / "bad.npy", opcodes)
    with pytest.raises(SourceError, match=named):
        dvbpr_npy_reader.read(path, io.BytesIO())


def _file(path: Path, opcodes: bytes) -> Path:
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (6,)})
        file.write(opcodes)
    return path


def _doubled_tuple(levels: int) -> bytes:
    """A dict whose key holds the level below twice: its hash takes 2**levels steps."""
    return b"\x80\x02)q\x00" + b"0h\x00h\x00\x86q\x00" * levels + b"0}h\x00K\x01s."


class _Watched(subprocess.Popen[bytes]):
    """Knows the most kilobytes that the program took, without what the process was before it started the program."""

    peak = 0

    def communicate(self, *arguments: Any, **options: Any) -> Any:
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            return super().communicate(*arguments, **options)
        finally:
            watcher.join()

    def _watch(self) -> None:
        status = Path(f"/proc/{self.pid}/status")
        while found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text() if status.exists() else ""):
            _Watched.peak = max(_Watched.peak, int(found[1]))
            time.sleep(0.001)


@pytest.mark.parametrize(
    ("opcodes", "named"),
    [
        (b"\x80\x02K\x01r\xff\xff\xff\x1f.", "no more memory"),  # remembered under 2**29: 4.2 GB
        (b"\x80\x05\x96" + (3 << 30).to_bytes(8, "little") + b"abc.", "no more memory"),  # 3 GB of bytes to come
        (b"\x80\x02})" + b"\x85" * 2_000_000 + b"K\x01s.", r"ended with -\d+"),  # hashed by recursion
        (b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".", "object array. Received list"),
        (_doubled_tuple(60), r"ended with -\d+"),
    ],
    ids=["memo", "declared-bytes", "nested-tuples", "nested-lists", "hash"],
)
def test_a_few_bytes_take_no_more_than_a_child_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opcodes: bytes, named: str
) -> None:
    monkeypatch.setattr("tfdvbpr.child.SECONDS", 20 if len(opcodes) > 1000 else 2)
    path = _file(tmp_path / "bad.npy", opcodes)
    monkeypatch.setattr("tfdvbpr.child.subprocess.Popen", _Watched)
    monkeypatch.setattr(_Watched, "peak", 0)
    with pytest.raises(SourceError, match=named):
        DvbprNpyImporter().read(path)
    assert 0 < _Watched.peak < 1.1 * (1 << 20)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([{}, {}, {}, {}, 2**31 - 1, 1], "user_train must hold the users or items that the file counts"),
        ([{0: [0]}, {}, {}, {}, 1, 2**31 - 1], "Item must hold the users or items that the file counts"),
        ([dict.fromkeys(range(3000), _SHARED), {}, {}, {}, 3000, 1], "no more than its .* bytes can"),
    ],
)
def test_counts_and_lists_referred_to_over_and_over_are_bounded(tmp_path: Path, values: Any, named: str) -> None:
    path = save(tmp_path / "bad.npy", values, 2)
    with pytest.raises(SourceError, match=named):
        dvbpr_npy_reader.read(path, io.BytesIO())


def test_an_image_that_many_items_share_is_kept_once(tmp_path: Path) -> None:
    shared = b"x" * 100_000
    path = save(tmp_path / "x.npy", [{0: [0]}, {}, {}, {item: {"imgs": shared} for item in range(300)}, 1, 300], 4)
    images = io.BytesIO()
    found = dvbpr_npy_reader.read(path, images)
    assert len(images.getvalue()) == len(shared)
    assert found["jpegs"] == [(0, len(shared))] * 300


def test_nested_lists_that_would_fill_the_memory_are_listed(tmp_path: Path) -> None:
    """Each level holds the one below twice: 2**60 entries, written out."""
    laughs: list[Any] = ["ha"]
    for _ in range(60):
        laughs = [laughs, laughs]
    values = entries(str, categories=True)
    values[0][0] = laughs
    values[0][1] = {"user": laughs}
    values[3][1]["c"] = laughs
    source = DvbprNpyImporter().read(save(tmp_path / "x.npy", values, 4))
    assert source.quarantine.counts == {"malformed row": 3, "malformed category": 1}


def test_a_persistent_id_is_refused(tmp_path: Path) -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return "elsewhere" if value is NUM_ITEMS else None

    array = np.empty(6, object)
    array[:] = entries(str, categories=True)
    with (tmp_path / "x.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (6,)})
        Pickler(file, 2).dump(array)
    with pytest.raises(SourceError, match="may not refer to other storage"):
        DvbprNpyImporter().read(tmp_path / "x.npy")
