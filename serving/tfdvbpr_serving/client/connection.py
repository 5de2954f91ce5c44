"""One gRPC channel to a server of the TensorFlow Serving protocol: messages in and out, failures as our errors."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy.typing as npt

from tfdvbpr_serving.client.answers import Arrays
from tfdvbpr_serving.client.channels import ChannelSettings, open_channel
from tfdvbpr_serving.client.results import ModelMetadata, ModelVersion
from tfdvbpr_serving.errors import DeadlineError, ServingError
from tfdvbpr_serving.protocol import messages, wire


class Connection:
    """The channel to one server, for threads.

    Args:
        settings: how to reach it.
    """

    def __init__(self, settings: ChannelSettings) -> None:
        self.target = settings.target
        self.timeout_seconds = settings.timeout_seconds
        self._channel = open_channel(settings, grpc)
        self._methods = wire.bound(self._channel)

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
        request = messages.predict_request(spec, inputs)
        response = self._call(wire.PREDICT, request, what=spec.signature_name, timeout_seconds=timeout_seconds)
        num_rows = len(next(iter(inputs.values())))
        return messages.read_outputs(response, spec, num_rows=num_rows, target=self.target)

    def status(self, spec: Any, *, timeout_seconds: float | None = None) -> tuple[ModelVersion, ...]:
        """The versions of a model that the server knows of, newest first."""
        request = messages.status_request(spec)
        return messages.read_status(
            self._call(wire.GET_MODEL_STATUS, request, what="status", timeout_seconds=timeout_seconds)
        )

    def metadata(self, spec: Any) -> ModelMetadata:
        """The version that answers, and its signatures."""
        request = messages.metadata_request(spec)
        return messages.read_metadata(self._call(wire.GET_MODEL_METADATA, request, what="metadata"))

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
                raise not_ready(waiting[0].name, self.target, timeout_seconds, reason)
            try:
                states = [v.state for v in self.status(waiting[0], timeout_seconds=min(left, 5.0))]
                reason = f"Received states {states}. Wait longer, or see the server's log."
            except ServingError as error:
                states, reason = [], str(error)
            if "AVAILABLE" in states:
                waiting.pop(0)
            else:
                time.sleep(min(0.1, max(0.0, end - time.monotonic())))

    def _call(self, path: str, request: Any, *, what: str, timeout_seconds: float | None = None) -> Any:
        timeout = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        try:
            return self._methods[path](request, timeout=timeout)
        except grpc.RpcError as error:
            raise messages.failed_call(
                error, request, what=what, target=self.target, timeout_seconds=timeout
            ) from error
        except ValueError as error:  # what grpc raises for a closed channel
            raise messages.closed(self.target, error) from error


def not_ready(model: str, target: str, timeout_seconds: float, reason: str) -> DeadlineError:
    """The error of a server that did not become ready."""
    return DeadlineError(f"{model!r} must be ready at {target} within {timeout_seconds:g} s. {reason}")
