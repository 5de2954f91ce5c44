from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from tfdvbpr.errors import SourceError
from tfdvbpr.pickles import load_restricted


class Malicious:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_containers_come_back(protocol: int) -> None:
    value = {"a": [1, 2.5, None, True], b"b": ("x", b"\xff", {3})}
    allowed = {"builtins.set": set, "__builtin__.set": set, "_codecs.encode": lambda text, to: text.encode(to)}
    assert load_restricted(io.BytesIO(pickle.dumps(value, protocol)), allowed) == value


def test_a_pickle_that_asks_for_code_is_refused_by_name_and_runs_nothing(tmp_path: Path) -> None:
    data = pickle.dumps([1, Malicious(tmp_path / "made")])
    with pytest.raises(SourceError, match=r"needs (posix|nt)\.mkdir"):
        load_restricted(io.BytesIO(data), {})
    assert not (tmp_path / "made").exists()


def test_what_is_allowed_is_built_from_what_the_reader_names() -> None:
    data = pickle.dumps(OrderedDict(a=1))
    loaded = load_restricted(io.BytesIO(data), {"collections.OrderedDict": dict})
    assert loaded == {"a": 1}
    assert type(loaded) is dict


@pytest.mark.parametrize("data", [b"", b"\x80\x04", b"garbage", pickle.dumps([1, 2, 3])[:-3]])
def test_a_broken_pickle_is_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(SourceError, match="whole"):
        load_restricted(io.BytesIO(data), {})


def test_outside_storage_needs_a_reader() -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return ("storage", 7) if obj == "elsewhere" else None

    buffer = io.BytesIO()
    Pickler(buffer).dump({"weights": "elsewhere"})
    with pytest.raises(SourceError, match="other storage"):
        load_restricted(io.BytesIO(buffer.getvalue()), {})
    read = load_restricted(io.BytesIO(buffer.getvalue()), {}, persistent_load=lambda pid: pid[1])
    assert read == {"weights": 7}
