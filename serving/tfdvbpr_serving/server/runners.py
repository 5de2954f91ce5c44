"""One signature of a loaded SavedModel: checks its inputs, calls its function with little overhead, cancels the call.

Imports TensorFlow, and two of its internal modules: the public call of a signature spends three times as long in Python
as the call underneath it, and its way to cancel a call (`CancellationManagerContext`) is one global for all threads.
tests/serving/server/test_runners.py compares both with the public call.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image
from tensorflow.core.framework import tensor_pb2
from tensorflow.python.eager import cancellation, context, execute

from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.protocol.messages import Arrays, Shape, array_from_tensor, numpy_dtype, shape_of
from tfdvbpr_serving.protocol.tensorflow_pb2 import DataType, SignatureDef, TensorInfo, TensorProto
from tfdvbpr_serving.server.requests import (
    STATUS_BY_NUMBER,
    RequestError,
    cancelled,
    invalid_argument,
    readable_message,
)

_IMAGE_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")  # those that TensorFlow decodes
_FIRST_BYTES = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"RIFF")
_IMAGE_INPUT_SUFFIX = "_bytes"  # by `tfdvbpr.signatures`


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
    """

    def __init__(self, name: str, definition: SignatureDef, function: Any, *, limits: ServerLimits) -> None:
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

    def read(self, tensors: Mapping[str, TensorProto]) -> Arrays:
        """The tensors of a request as arrays, checked; INVALID_ARGUMENT if they do not fit signature or limits."""
        self.check_names(tensors)
        return self.checked({name: self._array(name, tensors[name]) for name in self.inputs})

    def check_names(self, given: Mapping[str, Any]) -> None:
        """Raises INVALID_ARGUMENT for missing or extra inputs, with TensorFlow Serving's message."""
        if given.keys() == self.inputs.keys():
            return
        extra, missing = sorted(set(given) - set(self.inputs)), sorted(set(self.inputs) - set(given))
        raise invalid_argument(
            f"input size does not match signature. Sent extra: {{{','.join(extra)}}}. "
            f"Missing but required: {{{','.join(missing)}}}."
        )

    def checked(self, arrays: Arrays) -> Arrays:
        """The arrays themselves, if their shapes, rows and images are valid; INVALID_ARGUMENT if not."""
        rows = set()
        for name, spec in self.inputs.items():
            array = arrays[name]
            if not spec.fits(array.shape):
                raise invalid_argument(
                    f"Input {name!r} must have shape {tf.TensorShape(spec.shape)}. "
                    f"Received {tf.TensorShape(array.shape)}."
                )
            if spec.batched:
                rows.add(array.shape[0])
            if array.dtype == object:
                self._check_images(name, array)
        if len(rows) > 1:
            counts = {name: len(arrays[name]) for name, spec in self.inputs.items() if spec.batched}
            raise invalid_argument(f"Inputs must have the same number of rows. Received {counts}.")
        if 0 in rows:
            raise invalid_argument(
                f"Inputs of {self.name!r} must have at least one row. Received none. Send no empty batch."
            )
        return arrays

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

    def _array(self, name: str, tensor: TensorProto) -> npt.NDArray[Any]:
        spec = self.inputs[name]
        if tensor.dtype != spec.number:
            raise invalid_argument(f"Input {name!r} must be {_dtype(spec.number)}. Received {_dtype(tensor.dtype)}.")
        try:
            if spec.dtype is None:
                return np.asarray(tf.make_ndarray(tensor_pb2.TensorProto.FromString(tensor.SerializeToString())))
            return array_from_tensor(tensor, max_bytes=self._limits.max_message_bytes)
        except (ValueError, TypeError, OverflowError) as error:
            raise invalid_argument(f"Input {name!r} must be readable: {error}") from error

    def _check_images(self, name: str, array: npt.NDArray[Any]) -> None:
        """Limits the memory that a decoder would need: a few kilobytes of PNG may declare billions of pixels."""
        total = 0.0
        for value in array.ravel().tolist():
            if not value.startswith(_FIRST_BYTES):
                continue
            pixels = declared_pixels(value)
            if pixels is None and name.endswith(_IMAGE_INPUT_SUFFIX):
                raise invalid_argument(f"{name!r} must hold whole image files. Received one with a broken header.")
            total += pixels or 0.0
            if (pixels or 0.0) > self._limits.max_image_pixels:
                raise invalid_argument(
                    f"An image in {name!r} must have at most {self._limits.max_image_pixels} pixels. "
                    f"Received one of {pixels or 0:.0f} by its header. Scale it down."
                )
        if total > self._limits.max_request_pixels:
            raise invalid_argument(
                f"The images in {name!r} must have at most {self._limits.max_request_pixels} pixels together. "
                f"Received {total:.0f}. Send fewer in a request."
            )


def declared_pixels(file: bytes) -> float | None:
    """Width × height by an image file's header: inf for more than Pillow opens, None if Pillow cannot read it."""
    try:
        with Image.open(io.BytesIO(file), formats=_IMAGE_FORMATS) as image:
            return image.width * image.height
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return math.inf
    except Exception:  # Pillow raises almost anything for a broken header
        return None


def _spec(info: TensorInfo) -> ServedTensorSpec:
    return ServedTensorSpec(info.dtype, shape_of(info.tensor_shape))


def _dtype(number: int) -> str:
    return DataType.Name(number) if number in DataType.values() else f"dtype {number}"
