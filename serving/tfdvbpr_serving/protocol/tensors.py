"""NumPy arrays to `TensorProto` and back, without TensorFlow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr_serving.protocol.wire import TensorProto

STRING_DTYPE = 7

# The protocol's dtype number, the NumPy type (little-endian, as servers write), and the field that may hold the values.
_NUMERIC: tuple[tuple[int, str, str], ...] = (
    (1, "<f4", "float_val"),
    (2, "<f8", "double_val"),
    (3, "<i4", "int_val"),
    (4, "|u1", "int_val"),
    (5, "<i2", "int_val"),
    (6, "|i1", "int_val"),
    (9, "<i8", "int64_val"),
    (10, "|b1", "bool_val"),
    (17, "<u2", "int_val"),
    (19, "<f2", "half_val"),
    (22, "<u4", "uint32_val"),
    (23, "<u8", "uint64_val"),
)
_NUMPY_TYPES = {number: np.dtype(name) for number, name, _ in _NUMERIC}
_VALUE_FIELDS = {number: field for number, _, field in _NUMERIC}
_NUMBERS = {dtype: number for number, dtype in _NUMPY_TYPES.items()}


def numpy_dtype(number: int) -> np.dtype[Any] | None:
    """The NumPy type of a protocol dtype, object for strings; None where there is none."""
    return np.dtype(object) if number == STRING_DTYPE else _NUMPY_TYPES.get(number)


def dtype_name(number: int) -> str:
    """The NumPy-style name of a protocol dtype, as in `tfdvbpr.signatures`; "dtype 14" where there is none."""
    if number == STRING_DTYPE:
        return "string"
    return _NUMPY_TYPES[number].name if number in _NUMPY_TYPES else f"dtype {number}"


def tensor_from_array(array: npt.NDArray[Any]) -> Any:
    """A `TensorProto` with the array's values.

    Args:
        array: any shape; numbers, bool, str (sent as UTF-8), bytes, or objects that are str or bytes.

    Raises:
        ValueError: if the protocol, or this client, has no such dtype.
    """
    tensor = TensorProto()
    _set_shape(tensor, array.shape)
    if array.dtype.kind in "OSU":
        tensor.dtype = STRING_DTYPE
        tensor.string_val.extend(_as_bytes(value) for value in array.ravel().tolist())
        return tensor
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _NUMBERS:
        raise ValueError(
            f"An array must be of numbers, bool or strings. Received dtype {array.dtype}. Convert it first."
        )
    tensor.dtype = _NUMBERS[dtype]
    tensor.tensor_content = array.astype(dtype).tobytes()
    return tensor


def write_tensor(tensor: Any, array: npt.NDArray[Any]) -> None:
    """Fills an empty `TensorProto`, of ours or TensorFlow's, value by value as TensorFlow Serving answers.

    Args:
        tensor: to be filled in place.
        array: any shape; numbers, bool, or objects that are bytes.
    """
    _set_shape(tensor, array.shape)
    if array.dtype == object:
        tensor.dtype = STRING_DTYPE
        tensor.string_val.extend(array.ravel().tolist())
        return
    number = _NUMBERS[array.dtype]
    tensor.dtype = number
    values = array.view(np.uint16) if array.dtype == np.float16 else array
    getattr(tensor, _VALUE_FIELDS[number]).extend(values.ravel().tolist())


def _set_shape(tensor: Any, shape: tuple[int, ...]) -> None:
    tensor.tensor_shape.SetInParent()
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise ValueError(f"A string array must hold str or bytes. Received {type(value).__name__}. Convert it first.")


def array_from_tensor(tensor: Any, *, max_bytes: int | None = None) -> npt.NDArray[Any]:
    """The values of a `TensorProto`: strings as an object array of bytes.

    A server may pack the values (`tensor_content`) or list them (`float_val`, ...). A list that is too short is filled
    up with its last value, and an empty one with zeros, as the protocol says.

    Args:
        tensor: of ours or TensorFlow's.
        max_bytes: the most memory the array may take (8 bytes a string, beside its characters); None for any.

    Raises:
        ValueError: if the dtype is not one of ours, the values do not fit the shape or the array would be too large.
    """
    shape = tuple(int(dim.size) for dim in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise ValueError(f"A tensor must come with its whole shape. Received {shape}. The server's answer is broken.")
    count = math.prod(shape)
    itemsize = _NUMPY_TYPES[tensor.dtype].itemsize if tensor.dtype in _NUMPY_TYPES else 8
    if max_bytes is not None and count * itemsize > max_bytes:
        raise ValueError(f"A tensor must take at most {max_bytes} bytes. Received the shape {shape}.")
    if tensor.dtype == STRING_DTYPE:
        strings = np.empty(count, dtype=object)
        strings[:] = _filled(list(tensor.string_val), count, b"")
        return strings.reshape(shape)
    if tensor.dtype not in _NUMPY_TYPES:
        raise ValueError(f"A tensor must be of numbers, bool or strings. Received protocol dtype {tensor.dtype}.")
    dtype = _NUMPY_TYPES[tensor.dtype]
    if tensor.tensor_content:
        return _unpacked(tensor.tensor_content, dtype, shape)
    values = _filled(list(getattr(tensor, _VALUE_FIELDS[tensor.dtype])), count, 0)
    if dtype == np.float16:  # listed as their 16 bits
        return np.array(values, dtype="<u2").view(dtype).reshape(shape)
    return np.array(values, dtype=dtype).reshape(shape)


def _unpacked(content: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    expected = math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise ValueError(f"`tensor_content` must hold {expected} bytes for {dtype} {shape}. Received {len(content)}.")
    return np.frombuffer(content, dtype=dtype).reshape(shape).copy()


def _filled(values: list[Any], count: int, zero: object) -> list[Any]:
    if len(values) > count:
        raise ValueError(f"A tensor must hold at most {count} values for its shape. Received {len(values)}.")
    return values + [values[-1] if values else zero] * (count - len(values))
