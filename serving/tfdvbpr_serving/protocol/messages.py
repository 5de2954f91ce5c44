"""Requests built and answers read: what the blocking and the asyncio connection have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import numpy.typing as npt

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving.client.answers import Arrays
from tfdvbpr_serving.client.results import ModelMetadata, ModelVersion, ServedSignature, ServedTensor
from tfdvbpr_serving.errors import CallSite, IncompatibleModelError, ServingError, error_from_grpc
from tfdvbpr_serving.protocol import wire
from tfdvbpr_serving.protocol.tensors import array_from_tensor, dtype_name, tensor_from_array

_SAME_RELEASE = "Export the model with the same release as this client."


def predict_request(spec: Any, inputs: Mapping[str, npt.NDArray[Any]]) -> Any:
    """A `PredictRequest` of a `ModelSpec` and arrays."""
    request = wire.PredictRequest(model_spec=spec)
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tensor_from_array(array))
    return request


def read_outputs(response: Any, spec: Any, *, num_rows: int, target: str) -> Arrays:
    """The arrays of a `PredictResponse`, checked against `tfdvbpr.signatures`.

    Raises:
        IncompatibleModelError: if the answer is not what the signature says.
    """
    try:
        outputs = {name: array_from_tensor(tensor) for name, tensor in response.outputs.items()}
    except ValueError as error:
        raise IncompatibleModelError(f"Unreadable answer of {spec.name!r} at {target}: {error}") from error
    for name, description in SIGNATURES[spec.signature_name].outputs.items():
        where = f"Output {name!r} of {spec.signature_name} of {spec.name!r} at {target}"
        if name not in outputs:
            raise IncompatibleModelError(f"{where} must be in the answer. Received {sorted(outputs)}. {_SAME_RELEASE}")
        array = outputs[name]
        dtype = "string" if array.dtype == object else array.dtype.name
        if dtype != description.dtype or array.ndim != len(description.shape) or len(array) != num_rows:
            raise IncompatibleModelError(
                f"{where} must be {description.dtype} {description.shape} with {num_rows} rows. "
                f"Received {dtype} {array.shape}. {_SAME_RELEASE}"
            )
    return outputs


def status_request(spec: Any) -> Any:
    """A `GetModelStatusRequest`."""
    return wire.GetModelStatusRequest(model_spec=spec)


def read_status(response: Any) -> tuple[ModelVersion, ...]:
    """The versions of a `GetModelStatusResponse`, newest first."""
    versions = (
        ModelVersion(int(v.version), wire.MODEL_STATES.get(v.state, "UNKNOWN"), str(v.status.error_message))
        for v in response.model_version_status
    )
    return tuple(sorted(versions, key=lambda v: v.version, reverse=True))


def metadata_request(spec: Any) -> Any:
    """A `GetModelMetadataRequest` for the signatures."""
    return wire.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])


def read_metadata(response: Any) -> ModelMetadata:
    """The version and signatures of a `GetModelMetadataResponse`."""
    signature_map = wire.SignatureDefMap.FromString(response.metadata["signature_def"].value)
    signatures = {
        name: ServedSignature(_served_tensors(signature.inputs), _served_tensors(signature.outputs))
        for name, signature in sorted(signature_map.signature_def.items())
        if not name.startswith("__")  # the SavedModel's own, not for calling
    }
    return ModelMetadata(response.model_spec.name, int(response.model_spec.version.value), signatures)


def failed_call(error: grpc.RpcError, request: Any, *, what: str, target: str, timeout_seconds: float) -> ServingError:
    """The error of this library for a call that gRPC says has failed."""
    call = CallSite(target, request.model_spec.name, what, timeout_seconds)
    return error_from_grpc(error.code(), error.details(), call=call)


def closed(target: str, error: Exception) -> ServingError:
    """The error for a channel that its owner has closed."""
    return ServingError(f"The client must be open to call {target}. Received: {error}. Make a new one.")


def _served_tensors(infos: Mapping[str, Any]) -> dict[str, ServedTensor]:
    return {
        name: ServedTensor(dtype_name(info.dtype), _shape(info.tensor_shape)) for name, info in sorted(infos.items())
    }


def _shape(shape: Any) -> tuple[int | None, ...] | None:
    if shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else int(dim.size) for dim in shape.dim)
