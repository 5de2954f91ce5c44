"""SavedModels in numbered version folders, loaded and run the way TensorFlow Serving does. Imports TensorFlow."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from tfdvbpr_serving.errors import ModelLoadError

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
DEFAULT_SIGNATURE = "serving_default"

_log = logging.getLogger(__name__)
_STATUS_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class RequestError(Exception):
    """A request that ends with a gRPC status and a sentence."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> RequestError:
    """A request the caller has to correct."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


@dataclass(frozen=True)
class LoadedModel:
    """One version of a model, ready to answer.

    Attributes:
        name: as requests name it.
        version: the number of its folder.
        path: its folder.
        signature_defs: `SignatureDef` by name, as saved.
        saved_model: what `tf.saved_model.load` returned; its signatures hold on to it only weakly.
    """

    name: str
    version: int
    path: Path
    signature_defs: Mapping[str, Any]
    saved_model: Any = field(repr=False)

    def predict(self, signature_name: str, inputs: Mapping[str, Any], output_filter: list[str]) -> dict[str, Any]:
        """The outputs of a signature as `TensorProto` by name.

        Args:
            signature_name: "" for serving_default.
            inputs: `TensorProto` by name.
            output_filter: the outputs to return; empty for all.

        Raises:
            RequestError: with the gRPC status TensorFlow Serving would give.
        """
        name = signature_name or DEFAULT_SIGNATURE
        if name not in self.signature_defs:
            known = ", ".join(self.signature_defs)
            message = f'Serving signature key "{name}" not found in model {self.name!r}. It has: {known}.'
            raise RequestError(grpc.StatusCode.FAILED_PRECONDITION, message)
        definition = self.signature_defs[name]
        wanted = _wanted_outputs(definition, output_filter)
        tensors = _checked_inputs(definition, inputs)
        try:
            outputs = self.saved_model.signatures[name](**tensors)
        except tf.errors.OpError as error:
            code = _STATUS_BY_NUMBER.get(error.error_code, grpc.StatusCode.INTERNAL)
            raise RequestError(code, readable_message(error.message)) from error
        return {alias: tf.make_tensor_proto(outputs[alias].numpy(), dtype=outputs[alias].dtype) for alias in wanted}


def load_model(name: str, version: int, path: Path) -> LoadedModel:
    """Loads a version folder and answers its recorded warm-up requests, so that the first caller does not wait.

    Raises:
        ModelLoadError: if TensorFlow cannot load it, it has no signatures or a warm-up request fails.
    """
    try:
        saved_model = tf.saved_model.load(str(path))
        definitions = _signature_defs(path)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ModelLoadError(f"{path} must be a SavedModel. Received: {error}. Export it again.") from error
    if not definitions:
        raise ModelLoadError(f"{path} must have signatures to serve. Received none. Export it with tfdvbpr-export.")
    model = LoadedModel(name, version, path, definitions, saved_model)
    _warm_up(model)
    return model


def readable_message(message: str) -> str:
    """What TensorFlow says went wrong, without graph nodes and stack traces."""
    text = re.split(r"\n\s*\[\[|\[Op:", message, maxsplit=1)[0]
    root = re.search(r"^\s*\(0\)\s+\w+:\s*(.+)$", text, flags=re.MULTILINE)
    lines = [line.strip() for line in (root.group(1) if root else text).splitlines() if line.strip()]
    said = re.sub(r"\{\{.*?\}\}\s*", "", lines[-1]) if lines else ""
    return said or "The model refused the request."


def _signature_defs(path: Path) -> dict[str, Any]:
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    graph = next((g for g in saved.meta_graphs if "serve" in g.meta_info_def.tags), saved.meta_graphs[0])
    return {name: graph.signature_def[name] for name in sorted(graph.signature_def) if not name.startswith("__")}


def _warm_up(model: LoadedModel) -> None:
    file = model.path / WARMUP_FILE
    if not file.is_file():
        return
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if log.WhichOneof("log_type") != "predict_log":
                raise ModelLoadError(f"{file} must hold predict logs. Received a {log.WhichOneof('log_type')}.")
            request = log.predict_log.request
            model.predict(request.model_spec.signature_name, request.inputs, list(request.output_filter))
            count += 1
    except (RequestError, tf.errors.OpError, ValueError) as error:
        raise ModelLoadError(f"Every warm-up request in {file} must succeed. Number {count + 1}: {error}") from error
    _log.info("%s version %d: %d warm-up requests answered", model.name, model.version, count)


def _wanted_outputs(definition: Any, output_filter: list[str]) -> list[str]:
    for alias in output_filter:
        if alias not in definition.outputs:
            known = ",".join(sorted(definition.outputs))
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set {{{known}}}."
            )
    if len(set(output_filter)) != len(output_filter):
        raise invalid(f"duplicate output tensor alias in output_filter: {', '.join(output_filter)}.")
    return output_filter or sorted(definition.outputs)


def _checked_inputs(definition: Any, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    extra, missing = sorted(set(inputs) - set(definition.inputs)), sorted(set(definition.inputs) - set(inputs))
    if extra or missing:
        raise invalid(
            f"input size does not match signature. Sent extra: {{{','.join(extra)}}}. "
            f"Missing but required: {{{','.join(missing)}}}."
        )
    arrays = {name: _checked_array(name, inputs[name], info) for name, info in definition.inputs.items()}
    batched = {name: len(a) for name, a in arrays.items() if _is_batched(definition.inputs[name].tensor_shape)}
    if len(set(batched.values())) > 1:
        raise invalid(f"Inputs must have the same number of rows. Received {batched}.")
    return {name: tf.constant(array, dtype=definition.inputs[name].dtype) for name, array in arrays.items()}


def _is_batched(shape: tensor_shape_pb2.TensorShapeProto) -> bool:
    return not shape.unknown_rank and len(shape.dim) > 0 and shape.dim[0].size < 0


def _checked_array(name: str, tensor: Any, info: Any) -> np.ndarray[Any, Any]:
    if tensor.dtype != info.dtype:
        raise invalid(f"Input {name!r} must be {_dtype(info.dtype)}. Received {_dtype(tensor.dtype)}.")
    try:
        array: np.ndarray[Any, Any] = tf.make_ndarray(tensor)
    except (ValueError, TypeError) as error:
        raise invalid(
            f"Input {name!r} must be a whole tensor. Received one whose values do not fit its shape."
        ) from error
    expected = tf.TensorShape(info.tensor_shape)
    if not expected.is_compatible_with(array.shape):
        raise invalid(f"Input {name!r} must have shape {expected}. Received {tf.TensorShape(array.shape)}.")
    return array


def _dtype(number: int) -> str:
    return types_pb2.DataType.Name(number) if number in types_pb2.DataType.values() else f"dtype {number}"
