"""One signature of a loaded SavedModel: checks its inputs, calls its function with little overhead, cancels the call.

Imports TensorFlow, and two of its internal modules: the public call of a signature spends three times as long in Python
as the call underneath it, and its way to cancel a call (`CancellationManagerContext`) is one global for all threads.
tests/serving/server/test_runners.py compares both with the public call.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.python.eager import cancellation, context, execute

from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.protocol.messages import Arrays, Shape, array_from_tensor, numpy_dtype, shape_of, whole_shape
from tfdvbpr_serving.protocol.tensorflow_pb2 import DataType, SignatureDef, TensorInfo, TensorProto
from tfdvbpr_serving.server.cost import Reservation, decoding_bytes, tensor_bytes
from tfdvbpr_serving.server.images import check_images
from tfdvbpr_serving.server.requests import (
    STATUS_BY_NUMBER,
    RequestError,
    cancelled,
    invalid_argument,
    readable_message,
)

_NUM_CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class ServedTensorSpec:
    """Dtype, by the protocol's number, and shape of an input or output; None for a rank or size that is free."""

    number: int
    shape: Shape | None

    @cached_property
    def dtype(self) -> np.dtype[Any] | None:
        """The NumPy type, object for strings; None if NumPy has no such type."""
        return numpy_dtype(self.number)

    @property
    def batched(self) -> bool:
        """Whether its first dimension is the batch."""
        return self.shape is not None and len(self.shape) > 0 and self.shape[0] is None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape is valid."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            want in (None, size) for want, size in zip(self.shape, shape, strict=True)
        )


class Cancellation:
    """Cancels a call of TensorFlow in progress, from any thread: its loops end before their next step."""

    __slots__ = ("manager",)

    def __init__(self) -> None:
        self.manager = cancellation.CancellationManager()

    def cancel(self) -> None:
        """Ends the call with CANCELLED. Safe to call twice, and after the call has ended."""
        self.manager.start_cancel()


class SignatureRunner:
    """A signature, ready to be called from many threads.

    `function` is what `tf.saved_model.load(...).signatures` has under the name. Requests may be joined along the first
    dimension if `batchable`.

    Attributes:
        max_rows: of one request.
    """

    def __init__(self, name: str, definition: SignatureDef, function: Any, *, limits: ServerLimits) -> None:
        self.name = name
        self.inputs = {alias: _spec(info) for alias, info in sorted(definition.inputs.items())}
        self.outputs = {alias: _spec(info) for alias, info in sorted(definition.outputs.items())}
        self.batchable = bool(self.inputs) and all(
            spec.batched for spec in chain(self.inputs.values(), self.outputs.values())
        )
        self._limits = limits
        self.max_rows = limits.max_rows
        self._function = function
        self._captured = list(function.captured_inputs)
        self._function_name = function._inference_function.name.decode()
        self._num_outputs = len(function.outputs)
        numbered = tf.nest.pack_sequence_as(function.structured_outputs, list(range(self._num_outputs)))
        self._output_order = [(alias, numbered[alias]) for alias in self.outputs]
        self._context = context.context()
        self._context.ensure_initialized()
        self._attributes = tuple(chain(*self._context.function_call_options.as_attrs().items()))

    def read(self, tensors: Mapping[str, TensorProto], reservation: Reservation) -> Arrays:
        """The tensors of a request as arrays.

        Names, dtypes, shapes, rows, sizes and images are checked, and their memory is reserved, before anything is
        unpacked.

        Raises:
            RequestError: INVALID_ARGUMENT if they do not fit signature or limits, RESOURCE_EXHAUSTED for the budget.
        """
        self.check_names(tensors)
        self.check_shapes({name: self._shape(name, tensors[name]) for name in self.inputs})
        reservation.add(self._memory(tensors))
        return {name: self._array(name, tensors[name]) for name in self.inputs}

    def check_names(self, given: Mapping[str, Any]) -> None:
        """Raises INVALID_ARGUMENT for missing or extra inputs, with TensorFlow Serving's message."""
        if given.keys() == self.inputs.keys():
            return
        extra, missing = sorted(set(given) - set(self.inputs)), sorted(set(self.inputs) - set(given))
        raise invalid_argument(
            f"input size does not match signature. Sent extra: {{{','.join(extra)}}}. "
            f"Missing but required: {{{','.join(missing)}}}."
        )

    def check_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raises INVALID_ARGUMENT for the shapes of inputs that do not fit the signature, or too many rows."""
        rows: dict[str, int] = {}
        for name, spec in self.inputs.items():
            if not spec.fits(shapes[name]):
                raise invalid_argument(
                    f"Input {name!r} must have shape {tf.TensorShape(spec.shape)}. Received {shapes[name]}."
                )
            if spec.batched:
                rows[name] = shapes[name][0]
        if len(set(rows.values())) > 1:
            raise invalid_argument(f"Inputs must have the same number of rows. Received {rows}.")
        if rows and min(rows.values()) == 0:
            raise invalid_argument(
                f"Inputs of {self.name!r} must have at least one row. Received none. Send no empty batch."
            )
        if rows and max(rows.values()) > self.max_rows:
            raise invalid_argument(
                f"A request for {self.name!r} must have at most {self.max_rows} rows, the limit of this server. "
                f"Received {max(rows.values())}. Split it."
            )

    def decoding_memory(self, strings: Mapping[str, Sequence[bytes]]) -> int:
        """The memory that decoding the images among these inputs takes; INVALID_ARGUMENT if they are too large."""
        return sum(
            decoding_bytes(*check_images(name, values, self._limits), len(values), _NUM_CORES)
            for name, values in strings.items()
        )

    def _memory(self, tensors: Mapping[str, TensorProto]) -> int:
        """The memory that a request's tensors and images take once they are unpacked."""
        unpacked = sum(
            tensor_bytes(name, tensors[name], whole_shape(tensors[name]), spec.dtype)
            for name, spec in self.inputs.items()
        )
        if unpacked > self._limits.max_tensor_bytes:
            raise invalid_argument(
                f"The tensors of a request must take at most {self._limits.max_tensor_bytes} bytes once they are "
                f"unpacked. Received {unpacked}. Send less."
            )
        strings = {name: tensor.string_val for name, tensor in tensors.items() if tensor.dtype == DataType.DT_STRING}
        return unpacked + self.decoding_memory(strings)

    def run(self, arrays: Arrays, *, cancellation: Cancellation) -> Arrays:
        """The outputs of arrays from `read` or `checked`.

        Raises:
            RequestError: with TensorFlow's status and the readable part of its message.
        """
        tensors = [tf.constant(arrays[name], dtype=spec.number) for name, spec in self.inputs.items()]
        try:
            outputs = execute.execute_with_cancellation(
                self._function_name,
                self._num_outputs,
                [*tensors, *self._captured],
                self._attributes,
                self._context,
                cancellation_manager=cancellation.manager,
            )
            return {alias: outputs[index].numpy() for alias, index in self._output_order}
        except tf.errors.CancelledError as error:
            raise cancelled() from error
        except tf.errors.OpError as error:
            code = STATUS_BY_NUMBER.get(error.error_code, grpc.StatusCode.INTERNAL)
            raise RequestError(code, readable_message(error.message)) from error

    def wanted_outputs(self, output_filter: list[str]) -> list[str]:
        """All outputs, or those of the filter; INVALID_ARGUMENT if it names an unknown one, or one twice."""
        for alias in output_filter:
            if alias not in self.outputs:
                known = ",".join(self.outputs)
                raise invalid_argument(
                    f"output tensor alias not found in signature: {alias} "
                    f"Outputs expected to be in the set {{{known}}}."
                )
        if len(set(output_filter)) != len(output_filter):
            raise invalid_argument(f"duplicate output tensor alias in output_filter: {', '.join(output_filter)}.")
        return output_filter or list(self.outputs)

    def _shape(self, name: str, tensor: TensorProto) -> tuple[int, ...]:
        spec = self.inputs[name]
        if tensor.dtype != spec.number:
            raise invalid_argument(f"Input {name!r} must be {_dtype(spec.number)}. Received {_dtype(tensor.dtype)}.")
        try:
            return whole_shape(tensor)
        except ValueError as error:
            raise invalid_argument(f"Input {name!r} must be readable: {error}") from error

    def _array(self, name: str, tensor: TensorProto) -> npt.NDArray[Any]:
        try:
            if self.inputs[name].dtype is None:
                return np.asarray(tf.make_ndarray(tensor_pb2.TensorProto.FromString(tensor.SerializeToString())))
            return array_from_tensor(tensor)
        except (ValueError, TypeError, OverflowError) as error:
            raise invalid_argument(f"Input {name!r} must be readable: {error}") from error


def _spec(info: TensorInfo) -> ServedTensorSpec:
    return ServedTensorSpec(info.dtype, shape_of(info.tensor_shape))


def _dtype(number: int) -> str:
    return DataType.Name(number) if number in DataType.values() else f"dtype {number}"
