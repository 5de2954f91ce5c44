"""What a server says of its models: versions, and signatures with their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfdvbpr_serving.protocol.messages import Shape, dtype_name, shape_of
from tfdvbpr_serving.protocol.tensorflow_serving_pb2 import ModelVersionStatus, SignatureDefMap


@dataclass(frozen=True)
class ModelVersion:
    """One version of a served model.

    Attributes:
        version: its number.
        state: "START", "LOADING", "AVAILABLE", "UNLOADING", "END" or "UNKNOWN".
        error: why it is not served; "" if there is no error.
    """

    version: int
    state: str
    error: str


@dataclass(frozen=True)
class ServedTensor:
    """Dtype by its NumPy-style name, and shape; None where the request decides, and for the whole shape if unknown."""

    dtype: str
    shape: Shape | None


@dataclass(frozen=True)
class ServedSignature:
    """The inputs and outputs of one served function, by name."""

    inputs: Mapping[str, ServedTensor]
    outputs: Mapping[str, ServedTensor]


@dataclass(frozen=True)
class ModelMetadata:
    """The version that a server serves, and its signatures by name."""

    name: str
    version: int
    signatures: Mapping[str, ServedSignature]


def read_status(response: Any) -> tuple[ModelVersion, ...]:
    """The versions of a `GetModelStatusResponse`, newest first."""
    states = {number: name for name, number in ModelVersionStatus.State.items()}
    versions = (
        ModelVersion(int(v.version), states.get(v.state, "UNKNOWN"), str(v.status.error_message))
        for v in response.model_version_status
    )
    return tuple(sorted(versions, key=lambda v: v.version, reverse=True))


def read_metadata(response: Any) -> ModelMetadata:
    """The version and signatures of a `GetModelMetadataResponse`."""
    signature_map = SignatureDefMap.FromString(response.metadata["signature_def"].value)
    signatures = {
        name: ServedSignature(_served_tensors(signature.inputs), _served_tensors(signature.outputs))
        for name, signature in sorted(signature_map.signature_def.items())
        if not name.startswith("__")  # the SavedModel's own, not for calling
    }
    return ModelMetadata(response.model_spec.name, int(response.model_spec.version.value), signatures)


def _served_tensors(infos: Mapping[str, Any]) -> dict[str, ServedTensor]:
    return {
        name: ServedTensor(dtype_name(info.dtype), shape_of(info.tensor_shape)) for name, info in sorted(infos.items())
    }
