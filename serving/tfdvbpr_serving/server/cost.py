"""What a request costs: the bytes that its message, tensors and images take in memory, and one budget for all requests.

Everything is computed from the sizes that a request declares, before anything of those sizes is built.
"""

from __future__ import annotations

import math
import threading
from functools import cache
from types import TracebackType
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from google.protobuf.descriptor import FieldDescriptor

from tfdvbpr_serving.protocol.tensorflow_pb2 import DataType
from tfdvbpr_serving.server.requests import RequestError, invalid_argument

# Two bytes on the wire may stand for an empty message of some 200 bytes. A small message may be charged for the worst.
_SMALL_MESSAGE_BYTES = 2**16
_MOST_GROWTH = 128
_MESSAGE_BYTES, _VALUE_BYTES = 256, 48

_FIXED_WIDTHS = {
    FieldDescriptor.TYPE_FLOAT: 4,
    FieldDescriptor.TYPE_FIXED32: 4,
    FieldDescriptor.TYPE_SFIXED32: 4,
    FieldDescriptor.TYPE_DOUBLE: 8,
    FieldDescriptor.TYPE_FIXED64: 8,
    FieldDescriptor.TYPE_SFIXED64: 8,
}

_STRING_BYTES = 96  # of an element of a string tensor, beside its characters: objects of Python and of TensorFlow
_LISTED_NUMBER_BYTES = 40  # of an element that is listed and not packed: an object of Python
_PIXEL_BYTES = 16  # of a pixel that a model decodes: three bytes, the same in float32
_FILE_PIXEL_BYTES = 6  # of a pixel of a file as the model gets it, and TensorFlow's copy

_JSON_OBJECT_BYTES, _JSON_VALUE_BYTES = 232, 72  # a dict with a member; an empty list, beside its place in another


class MemoryBudget:
    """Bytes that all requests in progress may take together.

    Example:
        >>> budget = MemoryBudget(1000)
        >>> with budget.reserve(300) as reservation:
        ...     reservation.add(200)
        ...     budget.used
        500
        >>> budget.used
        0
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes that are reserved now."""
        return self._used

    def reserve(self, num_bytes: int = 0) -> Reservation:
        """The bytes of one request, to be released at the end of a `with` block; RESOURCE_EXHAUSTED if too many."""
        reservation = Reservation(self)
        reservation.add(num_bytes)
        return reservation

    def take(self, num_bytes: int) -> None:
        """Reserves bytes, or frees them if negative; RESOURCE_EXHAUSTED if there are too few."""
        with self._lock:
            if self._used + num_bytes > self.max_bytes and num_bytes > 0:
                raise RequestError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"The requests in progress must take at most {self.max_bytes} bytes together. The server is full. "
                    f"This one needs {num_bytes} more. Send less, or later.",
                )
            self._used += num_bytes


class Reservation:
    """Bytes of one request in a `MemoryBudget`; a context manager."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._bytes = 0

    def add(self, num_bytes: int) -> None:
        """Reserves more; RESOURCE_EXHAUSTED if the budget does not have them."""
        self._budget.take(num_bytes)
        self._bytes += num_bytes

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._budget.take(-self._bytes)
        self._bytes = 0


def message_bytes(descriptor: Any, body: bytes, *, max_values: int) -> int:
    """The most memory that parsing a protobuf message takes, found without building anything.

    Args:
        descriptor: of the message's type.
        body: the message as it came.
        max_values: the most fields and listed values that it may have, in all submessages together.

    Raises:
        RequestError: INVALID_ARGUMENT if it has more values, or is cut off.
    """
    if len(body) <= _SMALL_MESSAGE_BYTES:
        return len(body) * _MOST_GROWTH
    total, values = len(body), 0
    waiting: list[tuple[Any, int, int]] = [(descriptor, 0, len(body))]
    try:
        while waiting:
            kind, at, end = waiting.pop()
            fields = _length_delimited(kind)
            while at < end:
                tag, at = _varint(body, at)
                wire_type = tag & 7
                values += 1
                if wire_type == 0:
                    _, at = _varint(body, at)
                elif wire_type == 1:
                    at += 8
                elif wire_type == 5:
                    at += 4
                elif wire_type == 2:
                    length, at = _varint(body, at)
                    if at + length > end:
                        raise IndexError
                    field = fields.get(tag >> 3)
                    if isinstance(field, int):
                        values += _packed_count(body, at, length, width=field)
                    elif field is not None:
                        waiting.append((field, at, at + length))
                        total += _MESSAGE_BYTES
                    at += length
                elif wire_type > 5:
                    raise IndexError
                if values > max_values:
                    raise invalid_argument(
                        f"A request must have at most {max_values} values that are listed one by one. Received more. "
                        "Send fewer strings, and numbers as `tensor_content`."
                    )
            if at != end:
                raise IndexError
    except IndexError:
        raise invalid_argument(
            f"The body must be a {descriptor.name}. Received {len(body)} bytes that end too early."
        ) from None
    return total + values * _VALUE_BYTES


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer and the place after it; IndexError if it is cut off or longer than 64 bits."""
    byte = body[at]
    if byte < 128:
        return byte, at + 1
    value = byte & 127
    for shift in range(7, 70, 7):
        at += 1
        byte = body[at]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at + 1
    raise IndexError


@cache
def _length_delimited(descriptor: Any) -> dict[int, Any]:
    """By field number: the descriptor of a message, or the bytes of a number in a packed list, 0 if they vary."""
    found: dict[int, Any] = {}
    for field in descriptor.fields:
        if field.message_type is not None:
            found[field.number] = field.message_type
        elif field.type not in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            found[field.number] = _FIXED_WIDTHS.get(field.type, 0)
    return found


def _packed_count(body: bytes, at: int, length: int, *, width: int) -> int:
    if width:
        return length // width
    return int(np.count_nonzero(np.frombuffer(body, np.uint8, length, at) < 128))


def tensor_bytes(name: str, tensor: Any, shape: tuple[int, ...], dtype: npt.DTypeLike | None) -> int:
    """The memory of an input once it is unpacked: the array, and TensorFlow's copy.

    A `TensorProto` may list fewer values than its shape has and so repeat the last one: a few bytes then stand for a
    tensor of any size. For numbers that is counted; for strings it is refused.

    Raises:
        RequestError: INVALID_ARGUMENT if a string tensor does not list every value.
    """
    count = math.prod(shape)
    if tensor.dtype == DataType.DT_STRING:
        listed = len(tensor.string_val)
        if listed < count:
            raise invalid_argument(
                f"Input {name!r} must list every string of its shape {shape}. Received {listed} for {count}. Send all."
            )
        return _STRING_BYTES * count + 2 * tensor.ByteSize()
    itemsize = 16 if dtype is None else np.dtype(dtype).itemsize
    listed_bytes = 0 if tensor.tensor_content else _LISTED_NUMBER_BYTES * min(count, tensor.ByteSize())
    return 2 * itemsize * count + listed_bytes


def decoding_bytes(largest: int, total: int, num_images: int, num_cores: int) -> int:
    """The memory of images of at most `largest` pixels, `total` together, of which a model decodes one a core."""
    return min(largest * min(num_images, num_cores), total) * _PIXEL_BYTES + total * _FILE_PIXEL_BYTES


def json_bytes(body: bytes | bytearray, *, max_values: int) -> int:
    """The most memory that a JSON text takes once it is parsed, and its strings as bytes.

    Every value but a container's first one follows a comma, so that commas and brackets bound the number of values.

    Raises:
        RequestError: INVALID_ARGUMENT if it has more than `max_values` values.
    """
    objects = body.count(b"{")
    values = 1 + objects + body.count(b",") + body.count(b"[")
    if values > max_values:
        raise invalid_argument(
            f"A body must have at most {max_values} values. Received about {values}. Send fewer rows or ids a request."
        )
    one_byte_characters = body.isascii() and b"\\u" not in body
    characters = len(body) * (4 if one_byte_characters else 12)
    return characters + objects * _JSON_OBJECT_BYTES + values * _JSON_VALUE_BYTES
