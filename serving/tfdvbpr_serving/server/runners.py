"""One signature of a loaded SavedModel: its inputs checked, its function called with little overhead, and stopped.

Imports TensorFlow, and two of its internal modules: the public call of a signature spends three times as long in Python
as the call underneath it, and its way to cancel a call (`CancellationManagerContext`) is one global for all threads.
tests/serving/test_runners.py holds both against the public call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.python.eager import cancellation, context, execute

from tfdvbpr_serving.pictures import claimed_pixels
from tfdvbpr_serving.protocol.tensors import array_from_tensor, numpy_dtype
from tfdvbpr_serving.server.limits import ServerLimits
from tfdvbpr_serving.server.refusals import STATUS_BY_NUMBER, RequestError, given_up, invalid, readable_message

Arrays = dict[str, npt.NDArray[Any]]
Shape = tuple[int | None, ...]

_SHORTEST_PICTURE = 10  # shorter strings, ids for the most part, are no pictures


@dataclass(frozen=True)
class ServedTensorSpec:
    """What a signature says of one input or output.

    Attributes:
        number: the protocol's dtype.
        shape: None where the rank is free; a size is None where the request decides.
    """

    number: int
    shape: Shape | None

    @cached_property
    def dtype(self) -> np.dtype[Any] | None:
        """The NumPy type, object for strings; None for dtypes that NumPy has not."""
        return numpy_dtype(self.number)

    @property
    def batched(self) -> bool:
        """Whether its first dimension is the batch."""
        return self.shape is not None and len(self.shape) > 0 and self.shape[0] is None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape may be given."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            want in (None, size) for want, size in zip(self.shape, shape, strict=True)
        )


class Cancellation:
    """Stops a call of TensorFlow that is under way, from any thread: its loops end before their next step."""

    __slots__ = ("manager",)

    def __init__(self) -> None:
        self.manager = cancellation.CancellationManager()

    def stop(self) -> None:
        """Ends the call with CANCELLED. Safe to call twice, and after the call has ended."""
        self.manager.start_cancel()


class SignatureRunner:
    """A signature, ready to be called from many threads.

    Args:
        name: of the signature.
        definition: its `SignatureDef`.
        function: what `tf.saved_model.load(...).signatures` has under that name.
        limits: of messages and pictures.

    Attributes:
        inputs: what it takes, by name.
        outputs: what it gives, by name.
        batchable: whether requests may be joined along the first dimension.
    """

    def __init__(self, name: str, definition: Any, function: Any, *, limits: ServerLimits) -> None:
        self.name = name
        self.inputs = {alias: _spec(info) for alias, info in sorted(definition.inputs.items())}
        self.outputs = {alias: _spec(info) for alias, info in sorted(definition.outputs.items())}
        self.batchable = bool(self.inputs) and all(
            spec.batched for spec in chain(self.inputs.values(), self.outputs.values())
        )
        self._limits = limits
        self._function = function
        self._captured = list(function.captured_inputs)
        self._function_name = function._inference_function.name.decode()
        self._num_outputs = len(function.outputs)
        numbered = tf.nest.pack_sequence_as(function.structured_outputs, list(range(self._num_outputs)))
        self._output_order = [(alias, numbered[alias]) for alias in self.outputs]
        self._context = context.context()
        self._context.ensure_initialized()
        self._attributes = tuple(chain(*self._context.function_call_options.as_attrs().items()))

    def read(self, tensors: Mapping[str, Any]) -> Arrays:
        """The inputs of a request, checked, as arrays by name.

        Args:
            tensors: `TensorProto` by name.

        Raises:
            RequestError: INVALID_ARGUMENT, for whatever does not fit the signature or the limits.
        """
        self.check_names(tensors)
        return self.checked({name: self._array(name, tensors[name]) for name in self.inputs})

    def check_names(self, given: Mapping[str, Any]) -> None:
        """Refuses inputs too many or too few, in TensorFlow Serving's words."""
        if given.keys() == self.inputs.keys():
            return
        extra, missing = sorted(set(given) - set(self.inputs)), sorted(set(self.inputs) - set(given))
        raise invalid(
            f"input size does not match signature. Sent extra: {{{','.join(extra)}}}. "
            f"Missing but required: {{{','.join(missing)}}}."
        )

    def checked(self, arrays: Arrays) -> Arrays:
        """The arrays themselves, if their shapes, rows and pictures may be given.

        Raises:
            RequestError: INVALID_ARGUMENT.
        """
        rows = set()
        for name, spec in self.inputs.items():
            array = arrays[name]
            if not spec.fits(array.shape):
                raise invalid(
                    f"Input {name!r} must have shape {tf.TensorShape(spec.shape)}. "
                    f"Received {tf.TensorShape(array.shape)}."
                )
            if spec.batched:
                rows.add(array.shape[0])
            if array.dtype == object:
                self._check_pictures(name, array)
        if len(rows) > 1:
            counts = {name: len(arrays[name]) for name, spec in self.inputs.items() if spec.batched}
            raise invalid(f"Inputs must have the same number of rows. Received {counts}.")
        if 0 in rows:
            raise invalid(f"Inputs of {self.name!r} must have at least one row. Received none. Send no empty batch.")
        return arrays

    def run(self, arrays: Arrays, *, cancellation: Cancellation) -> Arrays:
        """The outputs by name.

        Args:
            arrays: as `read` or `checked` gave them.
            cancellation: stops the call when told to.

        Raises:
            RequestError: with TensorFlow's own status and the readable part of its message.
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
            raise given_up() from error
        except tf.errors.OpError as error:
            code = STATUS_BY_NUMBER.get(error.error_code, grpc.StatusCode.INTERNAL)
            raise RequestError(code, readable_message(error.message)) from error

    def wanted_outputs(self, output_filter: list[str]) -> list[str]:
        """The outputs to return: all, or those of the filter.

        Raises:
            RequestError: INVALID_ARGUMENT, if the filter names one that is not there or one twice.
        """
        for alias in output_filter:
            if alias not in self.outputs:
                known = ",".join(self.outputs)
                raise invalid(
                    f"output tensor alias not found in signature: {alias} "
                    f"Outputs expected to be in the set {{{known}}}."
                )
        if len(set(output_filter)) != len(output_filter):
            raise invalid(f"duplicate output tensor alias in output_filter: {', '.join(output_filter)}.")
        return output_filter or list(self.outputs)

    def _array(self, name: str, tensor: Any) -> npt.NDArray[Any]:
        spec = self.inputs[name]
        if tensor.dtype != spec.number:
            raise invalid(f"Input {name!r} must be {_dtype(spec.number)}. Received {_dtype(tensor.dtype)}.")
        try:
            if spec.dtype is None:
                return np.asarray(tf.make_ndarray(tensor))
            return array_from_tensor(tensor, max_bytes=self._limits.max_message_bytes)
        except (ValueError, TypeError, OverflowError) as error:
            raise invalid(f"Input {name!r} must be readable: {error}") from error

    def _check_pictures(self, name: str, array: npt.NDArray[Any]) -> None:
        total = 0
        for value in array.ravel().tolist():
            if len(value) < _SHORTEST_PICTURE:
                continue
            pixels = claimed_pixels(value) or 0
            total += pixels
            if pixels > self._limits.max_image_pixels:
                raise invalid(
                    f"A picture in {name!r} must have at most {self._limits.max_image_pixels} pixels. "
                    f"Received one of {pixels} by its header. Scale it down."
                )
        if total > self._limits.max_request_pixels:
            raise invalid(
                f"The pictures in {name!r} must have at most {self._limits.max_request_pixels} pixels together. "
                f"Received {total}. Send fewer in a request."
            )


def _spec(info: Any) -> ServedTensorSpec:
    shape = info.tensor_shape
    if shape.unknown_rank:
        return ServedTensorSpec(info.dtype, None)
    return ServedTensorSpec(info.dtype, tuple(None if dim.size < 0 else int(dim.size) for dim in shape.dim))


def _dtype(number: int) -> str:
    return types_pb2.DataType.Name(number) if number in types_pb2.DataType.values() else f"dtype {number}"
