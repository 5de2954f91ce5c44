"""TensorFlow Serving's JSON: "instances" and "inputs" to arrays, arrays to "predictions" and "outputs"."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr_serving.protocol.messages import Arrays, dtype_name
from tfdvbpr_serving.server.cost import Reservation
from tfdvbpr_serving.server.requests import invalid_argument
from tfdvbpr_serving.server.runners import ServedTensorSpec, SignatureRunner

_BINARY_SUFFIX = "_bytes"  # outputs of that name are base64, by TensorFlow Serving's rule
_MAX_DIMENSIONS = 8


def parsed_body(body: bytes | bytearray) -> dict[str, Any]:
    """The JSON object of a request; INVALID_ARGUMENT if it is none, or nested too deeply."""
    try:
        found = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise invalid_argument(f"The body must be JSON. Received: {error}.") from error
    if not isinstance(found, dict):
        raise invalid_argument(f"The body must be a JSON object. Received {type(found).__name__}.")
    if ("instances" in found) == ("inputs" in found):
        raise invalid_argument(
            'The body must have either "instances" (a list of rows) or "inputs" (by name). Received '
            + ("both." if "inputs" in found else "neither.")
        )
    if not isinstance(found.get("signature_name", ""), str):
        raise invalid_argument('`signature_name` must be a string. Leave it out for "serving_default".')
    return found


def read_inputs(body: Mapping[str, Any], runner: SignatureRunner, reservation: Reservation) -> Arrays:
    """The inputs of a request, checked against the signature and the limits before they are unpacked.

    Raises:
        RequestError: INVALID_ARGUMENT if they do not match, RESOURCE_EXHAUSTED if images need too much memory.
    """
    columns = _columns_of_rows(body["instances"], runner) if "instances" in body else _columns(body["inputs"], runner)
    runner.check_names(columns)
    shapes = {name: _shape(columns[name]) for name in runner.inputs}
    runner.check_shapes(shapes)
    arrays = {name: _array(name, columns[name], shapes[name], spec) for name, spec in runner.inputs.items()}
    strings = {name: array.ravel().tolist() for name, array in arrays.items() if array.dtype == object}
    reservation.add(runner.decoding_memory(strings))
    return arrays


def _columns(inputs: Any, runner: SignatureRunner) -> dict[str, Any]:
    if isinstance(inputs, dict) and not _is_binary(inputs):
        return inputs
    if len(runner.inputs) != 1:
        raise invalid_argument(f'"inputs" must be an object with {", ".join(runner.inputs)}. Received one value.')
    return {next(iter(runner.inputs)): inputs}


def _columns_of_rows(instances: Any, runner: SignatureRunner) -> dict[str, Any]:
    if not isinstance(instances, list) or not instances:
        raise invalid_argument('"instances" must be a list of at least one row. Received none.')
    if len(runner.inputs) == 1 and not all(isinstance(row, dict) and not _is_binary(row) for row in instances):
        return {next(iter(runner.inputs)): instances}
    for position, row in enumerate(instances):
        if not isinstance(row, dict):
            raise invalid_argument(
                f"Row {position} must be an object with {', '.join(runner.inputs)}. Received a bare value."
            )
        if row.keys() != instances[0].keys():
            raise invalid_argument(
                f"Row {position} must name the same inputs as row 0. Received {', '.join(row) or 'none'}."
            )
    return {name: [row[name] for row in instances] for name in instances[0]}


def _is_binary(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"}


def _array(name: str, value: Any, shape: tuple[int, ...], spec: ServedTensorSpec) -> npt.NDArray[Any]:
    if spec.dtype is None:
        raise invalid_argument(
            f"Input {name!r} is of {dtype_name(spec.number)}, which JSON does not carry here. Use gRPC."
        )
    flat: list[Any] = []
    _flatten(name, value, shape, flat)
    array = np.empty(len(flat), dtype=spec.dtype)
    try:
        array[:] = [_scalar(name, one, spec.dtype) for one in flat]
    except OverflowError as error:
        raise invalid_argument(
            f"Input {name!r} must hold {spec.dtype.name} values. Received one out of range."
        ) from error
    return array.reshape(shape)


def _shape(value: Any) -> tuple[int, ...]:
    """As the first element of each list has it."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
        if len(shape) > _MAX_DIMENSIONS:
            raise invalid_argument(f"A tensor must have at most {_MAX_DIMENSIONS} dimensions. Received more.")
    return tuple(shape)


def _flatten(name: str, value: Any, shape: tuple[int, ...], flat: list[Any]) -> None:
    if not shape:
        flat.append(value)
        return
    if not isinstance(value, list) or len(value) != shape[0]:
        raise invalid_argument(f"Input {name!r} must have lists of equal lengths. Received ragged ones. Fill them up.")
    for one in value:
        _flatten(name, one, shape[1:], flat)


def _scalar(name: str, value: Any, dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "O" and isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if dtype.kind == "O" and _is_binary(value):
        return _decoded(name, value["b64"])
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if dtype.kind == "b" and isinstance(value, bool):
        return value
    if dtype.kind == "f" and is_number:
        return value
    if dtype.kind in "iu" and is_number and isinstance(value, int):
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:
            raise OverflowError
        return value
    wanted = 'strings or {"b64": "..."}' if dtype.kind == "O" else f"{dtype.name} values"
    raise invalid_argument(f"Input {name!r} must hold {wanted}. Received {json.dumps(value)[:80]}.")


def _decoded(name: str, text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise invalid_argument(f'Input {name!r} must have valid base64 in "b64". Received: {error}.') from error


def response_body(outputs: Arrays, *, by_row: bool) -> dict[str, Any]:
    """The JSON object of a response: "predictions" by row, or "outputs" by name."""
    lists = {name: _nested_lists(name, array) for name, array in outputs.items()}
    if len(lists) == 1:
        return {"predictions" if by_row else "outputs": next(iter(lists.values()))}
    if not by_row:
        return {"outputs": lists}
    return {"predictions": [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]}


def dumped(body: Mapping[str, Any]) -> bytes:
    """JSON text. Numbers that are not finite are written as NaN and Infinity, as in TensorFlow Serving."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _nested_lists(name: str, array: npt.NDArray[Any]) -> Any:
    if array.dtype == np.float32:  # as few digits as tell it from other float32 numbers: 0.1, not 0.10000000149011612
        return array.astype("U").astype(np.float64).tolist()
    if array.dtype != object:
        return array.tolist()
    texts = np.empty(array.size, dtype=object)
    texts[:] = [_text(value, binary=name.endswith(_BINARY_SUFFIX)) for value in array.ravel().tolist()]
    return texts.reshape(array.shape).tolist()


def _text(value: bytes, *, binary: bool) -> Any:
    if not binary:
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(value).decode("ascii")}
