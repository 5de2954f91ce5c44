"""Weights of PyTorch's first format, written here as torch wrote them, and read without it."""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tfdvbpr.errors import SourceError
from tfdvbpr.models.backbones.torch_file import read_torch_weights

MAGIC, VERSION, SYSTEM = 0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}


class _Storage:
    def __init__(self, kind: Any, key: str, length: int) -> None:
        self.pid = ("storage", kind, key, "cpu", length, None)


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return obj.pid if isinstance(obj, _Storage) else None


class _Tensor:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self._reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self._reduced


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Names that a pickle of torch refers to; they are never called."""
    module, utils = ModuleType("torch"), ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage"):
        setattr(module, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*_: Any) -> None:
        raise AssertionError("called")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    module._utils = utils  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return module


def _file(torch: Any, *, offset: int = 1, magic: int = MAGIC, shape: Any = (2, 3), strides: Any = (1, 2)) -> bytes:
    """A transposed view that begins at the second of seven numbers, and a scalar."""
    build, data = torch._utils._rebuild_tensor_v2, io.BytesIO()
    numbers = _Storage(torch.FloatStorage, "11", 7)
    state = OrderedDict(
        view=_Tensor(build, numbers, offset, shape, strides, False, OrderedDict()),
        count=_Tensor(build, _Storage(torch.LongStorage, "5", 1), 0, (), (), False, OrderedDict()),
    )
    state._metadata = OrderedDict(version=1)  # type: ignore[attr-defined]
    for part in (magic, VERSION, SYSTEM):
        pickle.dump(part, data, protocol=2)
    _Pickler(data, protocol=2).dump(state)
    pickle.dump(["11", "5"], data, protocol=2)
    for array in (np.arange(7, dtype="<f4"), np.array([42], "<i8")):
        data.write(len(array).to_bytes(8, "little") + array.tobytes())
    return data.getvalue()


def _read(data: bytes, folder: Path) -> dict[str, Any]:
    (folder / "x.pth").write_bytes(data)
    return read_torch_weights(folder / "x.pth")


def test_tensors_come_back(torch: Any, tmp_path: Path) -> None:
    read = _read(_file(torch), tmp_path)
    np.testing.assert_array_equal(read["view"], np.array([[1, 3, 5], [2, 4, 6]], np.float32))
    assert read["view"].dtype == np.float32
    assert read["count"].shape == ()
    assert int(read["count"]) == 42


@pytest.mark.parametrize("offset", [2, -1])
def test_a_view_beyond_its_storage_is_refused(torch: Any, offset: int, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="within their storage"):
        _read(_file(torch, offset=offset), tmp_path)


def test_strides_of_0_do_not_repeat_a_number_for_ever(torch: Any, tmp_path: Path) -> None:
    """4 TB from some hundred bytes."""
    with pytest.raises(SourceError, match="larger than the file"):
        _read(_file(torch, shape=(1 << 20, 1 << 20), strides=(0, 0)), tmp_path)


@pytest.mark.parametrize(
    "opcodes", [b"\x80\x02K\x01r\xff\xff\xff\x1f.", b"\x80\x02})" + b"\x85" * 100_000 + b"K\x01s."]
)
def test_an_index_or_a_nesting_that_no_weights_have_is_refused(opcodes: bytes, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="an index or a nesting"):
        _read(opcodes, tmp_path)


def test_what_is_cut_off_or_of_another_format_is_refused(torch: Any, tmp_path: Path) -> None:
    data = _file(torch)
    for cut in (len(data) - 1, len(data) - 20, 40):
        with pytest.raises(SourceError, match="whole"):
            _read(data[:cut], tmp_path)
    with pytest.raises(SourceError, match="first format"):
        _read(_file(torch, magic=1), tmp_path)


def test_a_file_that_asks_for_code_is_refused(tmp_path: Path) -> None:
    data = b"".join(pickle.dumps(part, 2) for part in (MAGIC, VERSION, SYSTEM))
    evil = _Tensor(os.mkdir, str(tmp_path / "made"))
    with pytest.raises(SourceError, match="mkdir"):
        _read(data + pickle.dumps(evil, 2), tmp_path)
    assert not (tmp_path / "made").exists()
