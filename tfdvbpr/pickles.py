"""Safe reading of pickles and of NumPy object arrays from outside: only named stand-ins are ever called.

Names in NumPy pickles are answered by stand-ins of ours. NumPy's own `_reconstruct`, `scalar` and `dtype.__setstate__`
trust what they are given: a forged state can make raw bytes pass for object pointers. The stand-ins take fixed-size
numbers and text by value, and object arrays as lists of what the same restricted unpickler has built.
"""

from __future__ import annotations

import math
import pickle
import pickletools
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from tfdvbpr.errors import SourceError


class _Restricted(pickle.Unpickler):
    def __init__(
        self,
        file: BinaryIO,
        allowed: Mapping[str, Any],
        *,
        encoding: str,
        persistent_load: Callable[[Any], Any] | None,
    ) -> None:
        super().__init__(file, encoding=encoding)
        self._allowed = allowed
        self._persistent_load = persistent_load

    def find_class(self, module: str, name: str) -> Any:
        """The one way by which a pickle reaches code."""
        requested = f"{module}.{name}"
        if requested not in self._allowed:
            known = ", ".join(["plain containers", *sorted(self._allowed)])
            raise SourceError(
                f"A pickle from outside may only need {known}. This one needs {requested}, which could run code. "
                "It was not read; do not trust the file."
            )
        return self._allowed[requested]

    def persistent_load(self, pid: Any) -> Any:
        """What the pickle keeps outside of itself."""
        if self._persistent_load is None:
            raise SourceError("A pickle from outside may not refer to other storage. This one does. It was not read.")
        return self._persistent_load(pid)


def load_restricted(
    file: BinaryIO,
    allowed: Mapping[str, Any],
    *,
    encoding: str = "ASCII",
    persistent_load: Callable[[Any], Any] | None = None,
) -> Any:
    """One object from an open pickle, building plain containers and what `allowed` names.

    Args:
        file: open for reading, at the pickle's first byte; left after its last.
        allowed: from "module.name" as the pickle spells it to what is used in its place.
        encoding: of Python 2 strings; "bytes" leaves them alone.
        persistent_load: reads what the pickle refers to by a persistent id; left out, such pickles are refused.

    Raises:
        SourceError: if the pickle asks for anything else, or is broken.
    """
    try:
        return _Restricted(file, allowed, encoding=encoding, persistent_load=persistent_load).load()
    except SourceError:
        raise
    except MemoryError:
        raise SourceError("A pickle must need no more memory than there is. It does. Do not trust the file.") from None
    except Exception as error:  # a broken pickle can fail in any way that its opcodes can
        raise SourceError(
            f"The pickle must be whole. It cannot be read: {type(error).__name__}: {error}. Fetch the file again."
        ) from None


def check_opcodes(file: BinaryIO) -> None:
    """Refuses a pickle that asks for more memory or nesting than weights need; the file stays where it is.

    The unpickler makes room for every number under which a pickle remembers an object, and hashes nested tuples by
    recursion.

    Raises:
        SourceError: if it has more than 20,000 containers, remembers an object under a number above that of its
            opcodes, or is broken.
    """
    start, containers = file.tell(), 0
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            containers += opcode.name in _CONTAINER_OPCODES
            index = argument if opcode.name in _MEMO_OPCODES else 0
            if not isinstance(index, int) or index > number or containers > _MOST_CONTAINERS:
                raise SourceError(_refusal("an index or a nesting that no weights have"))
    except ValueError as error:
        raise SourceError(f"The pickle must be whole. It cannot be read: {error}. Fetch the file again.") from None
    file.seek(start)


_MOST_CONTAINERS = 20_000
_MEMO_OPCODES = ("PUT", "BINPUT", "LONG_BINPUT")
_CONTAINER_OPCODES = (
    *("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE", "LIST", "EMPTY_LIST", "DICT", "EMPTY_DICT"),
    *("EMPTY_SET", "FROZENSET", "REDUCE", "NEWOBJ", "NEWOBJ_EX", "INST", "OBJ", "BUILD"),
)
_PLAIN_CODES = re.compile(r"\?|[biuf](1|2|4|8)|[SU]\d{1,6}")  # bool, int, uint, float, bytes, text
_OBJECT_CODES = ("O", "O4", "O8")
_ORDERS: dict[str, Literal["<", ">", "|", "="]] = {"<": "<", ">": ">", "|": "|", "=": "="}


class PickledArray:
    """An array as it stood in the pickle.

    Attributes:
        shape: as stored.
        values: a numpy array of numbers or text, or the flat list of an object array's entries.
    """

    __slots__ = ("shape", "values")

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.values: npt.NDArray[Any] | list[Any] = []

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state if len(state) == 5 else (None, *state)
        self.shape = tuple(int(side) for side in shape)
        if _checked_dtype(dtype).is_object:
            if not isinstance(data, list) or len(data) != math.prod(self.shape):
                raise SourceError(_refusal("numpy.ndarray of objects from raw bytes"))
            self.values = data
        else:
            flat = np.frombuffer(data, dtype.plain())
            self.values = flat.reshape(self.shape, order="F" if fortran else "C")


class _DType:
    """A fixed-size number or text, or `object`."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code = code
        self.order = _ORDERS["="]

    def __setstate__(self, state: Any) -> None:
        _, order, subarray, names, fields, *_ = state
        if subarray is not None or names is not None or fields is not None:
            raise SourceError(_refusal("numpy.dtype with fields"))
        order = _text(order)
        if order not in _ORDERS:
            raise SourceError(_refusal(f"numpy.dtype of byte order {order!r}"))
        self.order = _ORDERS[order]

    @property
    def is_object(self) -> bool:
        return self.code in _OBJECT_CODES

    def plain(self) -> np.dtype[Any]:
        return np.dtype(self.code).newbyteorder(self.order)


class _Sealed:
    """A stand-in to be called, whose attributes a pickle cannot set."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise SourceError(_refusal("a change of what a name means"))


def _refusal(requested: str) -> str:
    return (
        f"A pickle from outside may only need numbers, text and plain containers. This one needs {requested}. "
        "It was not read; do not trust the file."
    )


def _text(value: Any) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


def _checked_dtype(dtype: Any) -> _DType:
    if not isinstance(dtype, _DType):
        raise SourceError(_refusal(f"numpy.dtype made from {type(dtype).__name__}"))
    return dtype


def _dtype(code: Any, *_: Any) -> _DType:
    code = _text(code).lstrip("<>|=")
    if code not in _OBJECT_CODES and not _PLAIN_CODES.fullmatch(code):
        raise SourceError(_refusal(f"numpy.dtype({code[:40]!r})"))
    return _DType(code)


def _reconstruct(kind: Any, *_: Any) -> PickledArray:
    if kind is not _NDARRAY:
        raise SourceError(_refusal("numpy.core.multiarray._reconstruct of another class"))
    return PickledArray()


def _scalar(dtype: Any, data: Any = b"") -> Any:
    if _checked_dtype(dtype).is_object:
        raise SourceError(_refusal("numpy.core.multiarray.scalar of dtype object"))
    (value,) = np.frombuffer(data, dtype.plain()).tolist()
    return value


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> PickledArray:
    """Protocol 5 writes arrays of numbers as their bytes."""
    array = PickledArray()
    if _checked_dtype(dtype).is_object:
        raise SourceError(_refusal("numpy.core.numeric._frombuffer of dtype object"))
    array.__setstate__((shape, dtype, order == "F", bytes(data)))
    return array


def _encode(text: Any, encoding: Any) -> bytes:
    """How Python 3 writes bytes in protocol 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise SourceError(_refusal(f"_codecs.encode to {str(encoding)[:40]!r}"))
    return text.encode("latin-1")


def _ordered(pairs: Iterable[Any] = ()) -> dict[Any, Any]:
    return dict(pairs)


def _bytes(kind: type[bytes] | type[bytearray]) -> Callable[..., bytes | bytearray]:
    """How Python 3 writes empty bytes and byte arrays in protocol 2; a number would be a size to allocate."""

    def made(*arguments: Any) -> bytes | bytearray:
        if any(isinstance(argument, int) for argument in arguments):
            raise SourceError(_refusal(f"{kind.__name__} of a size"))
        return kind(*arguments)

    return made


_NDARRAY = _Sealed(lambda *_: PickledArray())
_CONTAINERS: dict[str, Callable[..., Any]] = {
    **{kind.__name__: kind for kind in (list, dict, tuple, set, frozenset)},
    **{kind.__name__: _bytes(kind) for kind in (bytes, bytearray)},
}
NUMPY_NAMES: Mapping[str, Any] = {
    **{
        f"numpy{part}.{name}": _Sealed(call)
        for part in (".core", "._core")
        for name, call in (
            ("multiarray._reconstruct", _reconstruct),
            ("multiarray.scalar", _scalar),
            ("numeric._frombuffer", _from_buffer),
        )
    },
    "numpy.ndarray": _NDARRAY,
    "numpy.dtype": _Sealed(_dtype),
    "_codecs.encode": _Sealed(_encode),
    "collections.OrderedDict": _Sealed(_ordered),
    "collections.defaultdict": _Sealed(lambda *_: {}),
    **{f"{home}.{name}": _Sealed(kind) for home in ("builtins", "__builtin__") for name, kind in _CONTAINERS.items()},
}


def read_object_array(path: Path) -> list[Any]:
    """The entries of a one-dimensional object array in a .npy file, of Python 2 or 3.

    Args:
        path: written by `numpy.save`.

    Returns:
        The entries: numbers, text, plain containers and `PickledArray`. Python 2's `str` comes as bytes.

    Raises:
        SourceError: if the file is none, is damaged, or asks for anything but numpy arrays and plain containers.
    """
    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, _, dtype = header[version](file)
        except OSError:
            raise
        except Exception as error:  # numpy parses the header as Python text, which can fail in any way
            raise SourceError(f"{path.name} must be a .npy file. It cannot be read: {error}. Fetch it again.") from None
        if not dtype.hasobject or len(shape) != 1:
            raise SourceError(
                f"{path.name} must hold a row of pickled objects. Received {dtype} of shape {shape}. "
                "Give the authors' file."
            )
        loaded = load_restricted(file, NUMPY_NAMES, encoding="bytes")
    if not isinstance(loaded, PickledArray) or not isinstance(loaded.values, list):
        raise SourceError(f"{path.name} must hold an object array. Received {type(loaded).__name__}.")
    return loaded.values
