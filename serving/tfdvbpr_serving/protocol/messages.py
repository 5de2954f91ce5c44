"""Messages of TensorFlow Serving's protocol: paths of its methods, requests, and arrays to `TensorProto` and back.

The messages themselves are in tensorflow_pb2.py and tensorflow_serving_pb2.py. Needs no TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf import message_factory

from tfdvbpr_serving.protocol import tensorflow_serving_pb2
from tfdvbpr_serving.protocol.tensorflow_pb2 import DataType, TensorProto
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import ModelSpec, PredictRequest

OUR_PACKAGE = "tfdvbpr."  # stands before the protocol's own names in the .proto files

PREDICT = "/tensorflow.serving.PredictionService/Predict"
GET_MODEL_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
GET_MODEL_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RELOAD_CONFIG = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"

SERVICE_NAMES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")

# Classes of request and response by path.
METHODS: dict[str, tuple[Any, Any]] = {
    f"/{service.full_name.removeprefix(OUR_PACKAGE)}/{method.name}": (
        message_factory.GetMessageClass(method.input_type),
        message_factory.GetMessageClass(method.output_type),
    )
    for service in tensorflow_serving_pb2.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

Arrays = dict[str, npt.NDArray[Any]]
Shape = tuple[int | None, ...]

# The protocol's dtype, the NumPy type (little-endian, as servers write), and the field that may hold the values.
_NUMERIC: tuple[tuple[int, str, str], ...] = (
    (DataType.DT_FLOAT, "<f4", "float_val"),
    (DataType.DT_DOUBLE, "<f8", "double_val"),
    (DataType.DT_INT32, "<i4", "int_val"),
    (DataType.DT_UINT8, "|u1", "int_val"),
    (DataType.DT_INT16, "<i2", "int_val"),
    (DataType.DT_INT8, "|i1", "int_val"),
    (DataType.DT_INT64, "<i8", "int64_val"),
    (DataType.DT_BOOL, "|b1", "bool_val"),
    (DataType.DT_UINT16, "<u2", "int_val"),
    (DataType.DT_HALF, "<f2", "half_val"),
    (DataType.DT_UINT32, "<u4", "uint32_val"),
    (DataType.DT_UINT64, "<u8", "uint64_val"),
)
_NUMPY_TYPES = {number: np.dtype(name) for number, name, _ in _NUMERIC}
_VALUE_FIELDS = {number: field for number, _, field in _NUMERIC}
_NUMBERS: dict[np.dtype[Any], Any] = {dtype: number for number, dtype in _NUMPY_TYPES.items()}


def numpy_dtype(number: int) -> np.dtype[Any] | None:
    """The NumPy type of a protocol dtype, object for strings; None if NumPy has no such type."""
    return np.dtype(object) if number == DataType.DT_STRING else _NUMPY_TYPES.get(number)


def dtype_name(number: int) -> str:
    """The NumPy-style name of a protocol dtype, as in `tfdvbpr.signatures`; "dtype 14" if NumPy has no such type."""
    if number == DataType.DT_STRING:
        return "string"
    return _NUMPY_TYPES[number].name if number in _NUMPY_TYPES else f"dtype {number}"


def tensor_from_array(array: npt.NDArray[Any]) -> Any:
    """A `TensorProto` of numbers, bool, str (sent as UTF-8), bytes, or objects that are str or bytes; of any shape.

    Raises:
        ValueError: if the protocol has no such dtype.
    """
    tensor = TensorProto()
    _set_shape(tensor, array.shape)
    if array.dtype.kind in "OSU":
        tensor.dtype = DataType.DT_STRING
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
    """Fills an empty `TensorProto` value by value, as TensorFlow Serving responds; strings are objects of bytes."""
    _set_shape(tensor, array.shape)
    if array.dtype == object:
        tensor.dtype = DataType.DT_STRING
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


def array_from_tensor(tensor: Any) -> npt.NDArray[Any]:
    """The values of a `TensorProto`: strings as an object array of bytes.

    The values may be packed (`tensor_content`) or listed (`float_val`, ...). A list that is too short is filled up with
    its last value, and an empty list with zeros, as the protocol says.

    Raises:
        ValueError: if NumPy has no such dtype, or the values do not fit the shape.
    """
    shape = whole_shape(tensor)
    if tensor.dtype == DataType.DT_STRING:
        return _filled_up(list(tensor.string_val), shape, np.dtype(object), b"")
    if tensor.dtype not in _NUMPY_TYPES:
        raise ValueError(f"A tensor must be of numbers, bool or strings. Received protocol dtype {tensor.dtype}.")
    dtype = _NUMPY_TYPES[tensor.dtype]
    if tensor.tensor_content:
        return _from_content(tensor.tensor_content, dtype, shape)
    values = list(getattr(tensor, _VALUE_FIELDS[tensor.dtype]))
    if dtype == np.float16:  # listed as their 16 bits
        return _filled_up(values, shape, np.dtype("<u2"), 0).view(dtype)
    return _filled_up(values, shape, dtype, 0)


def whole_shape(tensor: Any) -> tuple[int, ...]:
    """The shape of a `TensorProto`; ValueError if it leaves a size free."""
    shape = tuple(int(dim.size) for dim in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise ValueError(f"A tensor must come with its whole shape. Received {shape}. Send every size.")
    return shape


def _from_content(content: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    expected = math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise ValueError(f"`tensor_content` must hold {expected} bytes for {dtype} {shape}. Received {len(content)}.")
    return np.frombuffer(content, dtype=dtype).reshape(shape).copy()


def _filled_up(values: list[Any], shape: tuple[int, ...], dtype: np.dtype[Any], zero: object) -> npt.NDArray[Any]:
    count = math.prod(shape)
    if len(values) > count:
        raise ValueError(f"A tensor must hold at most {count} values for its shape. Received {len(values)}.")
    array = np.empty(count, dtype=dtype)
    array[: len(values)] = values
    array[len(values) :] = values[-1] if values else zero
    return array.reshape(shape)


def shape_of(shape: Any) -> Shape | None:
    """The sizes of a `TensorShapeProto`, None where one is free; None for the whole shape if the rank is unknown."""
    if shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else int(dim.size) for dim in shape.dim)


def string_array(values: Iterable[str] | Iterable[bytes]) -> npt.NDArray[np.object_]:
    """An object array [B]. NumPy's own fixed-width strings would cut trailing zero bytes off image files."""
    listed: list[Any] = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def model_spec(
    name: str, *, version: int | None = None, version_label: str | None = None, signature: str = ""
) -> ModelSpec:
    """A `ModelSpec`. Without version or label the server takes the newest version."""
    spec = ModelSpec(name=name, signature_name=signature)
    if version is not None:
        spec.version.value = version
        spec.version.SetInParent()
    elif version_label is not None:
        spec.version_label = version_label
    return spec


def predict_request(spec: ModelSpec, inputs: Mapping[str, npt.NDArray[Any]]) -> PredictRequest:
    """A `PredictRequest` of a `ModelSpec` and arrays."""
    request = PredictRequest(model_spec=spec)
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tensor_from_array(array))
    return request
