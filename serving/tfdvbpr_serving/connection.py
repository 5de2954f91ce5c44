"""One gRPC channel to a server of the TensorFlow Serving protocol: messages in and out, failures as our errors."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy.typing as npt

from tfdvbpr.signatures import SIGNATURES
from tfdvbpr_serving import wire
from tfdvbpr_serving.errors import CallSite, DeadlineError, IncompatibleModelError, ServingError, error_from_grpc
from tfdvbpr_serving.results import ModelMetadata, ModelVersion, ServedSignature, ServedTensor
from tfdvbpr_serving.tensors import array_from_tensor, dtype_name, tensor_from_array

Arrays = dict[str, npt.NDArray[Any]]

_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")


class Connection:
    """The channel to one server.

    Args:
        target: "host:port".
        timeout_seconds: for calls that give none of their own.
        max_message_bytes: the largest request or answer; the protocol itself ends at 2 GiB.
        credentials: None for plain text; `grpc.ssl_channel_credentials(...)` for TLS.
        options: further gRPC channel options, which win over ours.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_seconds: float,
        max_message_bytes: int,
        credentials: grpc.ChannelCredentials | None,
        options: Sequence[tuple[str, Any]],
    ) -> None:
        if not target:
            raise ValueError('`target` must be "host:port". Received "". Name the server, e.g. "localhost:8500".')
        if timeout_seconds <= 0:
            raise ValueError(f"`timeout_seconds` must be > 0. Received {timeout_seconds}. Give seconds to wait.")
        self.target = target
        self.timeout_seconds = timeout_seconds
        merged: dict[str, Any] = {
            "grpc.max_send_message_length": max_message_bytes,
            "grpc.max_receive_message_length": max_message_bytes,
            "grpc.initial_reconnect_backoff_ms": 200,
            "grpc.max_reconnect_backoff_ms": 2_000,
        }
        if target.startswith(_LOCAL_HOSTS):
            merged["grpc.enable_http_proxy"] = 0
        settings = list({**merged, **dict(options)}.items())
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options=settings)
        else:
            self._channel = grpc.secure_channel(target, credentials, options=settings)

    def close(self) -> None:
        """Ends the channel; calls under way are cancelled."""
        self._channel.close()

    def predict(self, spec: Any, inputs: Mapping[str, npt.NDArray[Any]], *, timeout_seconds: float) -> Arrays:
        """The outputs of one signature, checked against `tfdvbpr.signatures`.

        Args:
            spec: a `ModelSpec` with name and signature.
            inputs: arrays that share their leading dimension.
            timeout_seconds: for this call.

        Raises:
            ServingError: one of its kinds, if the call fails or the answer is not what the signature says.
        """
        request = wire.PredictRequest(model_spec=spec)
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(tensor_from_array(array))
        response = self._call(
            wire.PREDICT, request, wire.PredictResponse, what=f"{spec.signature_name}", timeout_seconds=timeout_seconds
        )
        num_rows = len(next(iter(inputs.values())))
        try:
            outputs = {name: array_from_tensor(tensor) for name, tensor in response.outputs.items()}
        except ValueError as error:
            raise IncompatibleModelError(f"Unreadable answer of {spec.name!r} at {self.target}: {error}") from error
        self._check_outputs(spec, outputs, num_rows)
        return outputs

    def _check_outputs(self, spec: Any, outputs: Arrays, num_rows: int) -> None:
        for name, description in SIGNATURES[spec.signature_name].outputs.items():
            where = f"Output {name!r} of {spec.signature_name} of {spec.name!r} at {self.target}"
            if name not in outputs:
                raise IncompatibleModelError(
                    f"{where} must be in the answer. Received {sorted(outputs)}. {_SAME_RELEASE}"
                )
            array = outputs[name]
            dtype = "string" if array.dtype == object else array.dtype.name
            if dtype != description.dtype or array.ndim != len(description.shape) or len(array) != num_rows:
                raise IncompatibleModelError(
                    f"{where} must be {description.dtype} {description.shape} with {num_rows} rows. "
                    f"Received {dtype} {array.shape}. {_SAME_RELEASE}"
                )

    def status(self, spec: Any, *, timeout_seconds: float | None = None) -> tuple[ModelVersion, ...]:
        """The versions of a model that the server knows of, newest first."""
        request = wire.GetModelStatusRequest(model_spec=spec)
        response = self._call(
            wire.GET_MODEL_STATUS, request, wire.GetModelStatusResponse, what="status", timeout_seconds=timeout_seconds
        )
        versions = (
            ModelVersion(int(v.version), wire.MODEL_STATES.get(v.state, "UNKNOWN"), str(v.status.error_message))
            for v in response.model_version_status
        )
        return tuple(sorted(versions, key=lambda v: v.version, reverse=True))

    def metadata(self, spec: Any) -> ModelMetadata:
        """The version that answers, and its signatures."""
        request = wire.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        response = self._call(wire.GET_MODEL_METADATA, request, wire.GetModelMetadataResponse, what="metadata")
        signature_map = wire.SignatureDefMap.FromString(response.metadata["signature_def"].value)
        signatures = {
            name: ServedSignature(_served_tensors(signature.inputs), _served_tensors(signature.outputs))
            for name, signature in sorted(signature_map.signature_def.items())
            if not name.startswith("__")  # the SavedModel's own, not for calling
        }
        return ModelMetadata(response.model_spec.name, int(response.model_spec.version.value), signatures)

    def wait_until_ready(self, specs: Sequence[Any], *, timeout_seconds: float) -> None:
        """Returns as soon as every model has a version that is AVAILABLE.

        Raises:
            DeadlineError: if that takes longer; it tells what stood in the way last.
        """
        end = time.monotonic() + timeout_seconds
        waiting, reason = list(specs), ""
        while waiting:
            left = end - time.monotonic()
            if left <= 0:
                raise DeadlineError(
                    f"{waiting[0].name!r} must be ready at {self.target} within {timeout_seconds:g} s. {reason}"
                )
            try:
                states = [v.state for v in self.status(waiting[0], timeout_seconds=min(left, 5.0))]
                reason = f"Received states {states}. Wait longer, or see the server's log."
            except ServingError as error:
                states, reason = [], str(error)
            if "AVAILABLE" in states:
                waiting.pop(0)
            else:
                time.sleep(min(0.1, max(0.0, end - time.monotonic())))

    def _call(self, path: str, request: Any, response: Any, *, what: str, timeout_seconds: float | None = None) -> Any:
        timeout = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        method = self._channel.unary_unary(
            path, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
        )
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            call = CallSite(self.target, request.model_spec.name, what, timeout)
            raise error_from_grpc(error.code(), error.details(), call=call) from error
        except ValueError as error:  # what grpc raises for a closed channel
            raise ServingError(
                f"The client must be open to call {self.target}. Received: {error}. Make a new one."
            ) from error


_SAME_RELEASE = "Export the model with the same release as this client."


def _served_tensors(infos: Mapping[str, Any]) -> dict[str, ServedTensor]:
    return {
        name: ServedTensor(dtype_name(info.dtype), _shape(info.tensor_shape)) for name, info in sorted(infos.items())
    }


def _shape(shape: Any) -> tuple[int | None, ...] | None:
    if shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else int(dim.size) for dim in shape.dim)
