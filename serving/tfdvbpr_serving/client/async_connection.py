"""The same as connection.py for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy.typing as npt

from tfdvbpr_serving.client.answers import Arrays
from tfdvbpr_serving.client.channels import ChannelSettings, open_channel
from tfdvbpr_serving.client.connection import not_ready
from tfdvbpr_serving.client.results import ModelMetadata, ModelVersion
from tfdvbpr_serving.errors import ServingError
from tfdvbpr_serving.protocol import messages, wire


class AsyncConnection:
    """The channel to one server, for one event loop.

    Args:
        settings: how to reach it.
    """

    def __init__(self, settings: ChannelSettings) -> None:
        self.target = settings.target
        self.timeout_seconds = settings.timeout_seconds
        self._channel = open_channel(settings, grpc.aio)
        self._methods = wire.bound(self._channel)

    async def close(self) -> None:
        """Ends the channel; calls under way are cancelled."""
        await self._channel.close()

    async def predict(self, spec: Any, inputs: Mapping[str, npt.NDArray[Any]], *, timeout_seconds: float) -> Arrays:
        """See `Connection.predict`. Cancelling the task cancels the call on the server."""
        request = messages.predict_request(spec, inputs)
        response = await self._call(wire.PREDICT, request, what=spec.signature_name, timeout_seconds=timeout_seconds)
        num_rows = len(next(iter(inputs.values())))
        return messages.read_outputs(response, spec, num_rows=num_rows, target=self.target)

    async def status(self, spec: Any, *, timeout_seconds: float | None = None) -> tuple[ModelVersion, ...]:
        """See `Connection.status`."""
        request = messages.status_request(spec)
        return messages.read_status(
            await self._call(wire.GET_MODEL_STATUS, request, what="status", timeout_seconds=timeout_seconds)
        )

    async def metadata(self, spec: Any) -> ModelMetadata:
        """See `Connection.metadata`."""
        request = messages.metadata_request(spec)
        return messages.read_metadata(await self._call(wire.GET_MODEL_METADATA, request, what="metadata"))

    async def wait_until_ready(self, specs: Sequence[Any], *, timeout_seconds: float) -> None:
        """See `Connection.wait_until_ready`."""
        end = time.monotonic() + timeout_seconds
        waiting, reason = list(specs), ""
        while waiting:
            left = end - time.monotonic()
            if left <= 0:
                raise not_ready(waiting[0].name, self.target, timeout_seconds, reason)
            try:
                states = [v.state for v in await self.status(waiting[0], timeout_seconds=min(left, 5.0))]
                reason = f"Received states {states}. Wait longer, or see the server's log."
            except ServingError as error:
                states, reason = [], str(error)
            if "AVAILABLE" in states:
                waiting.pop(0)
            else:
                await asyncio.sleep(min(0.1, max(0.0, end - time.monotonic())))

    async def _call(self, path: str, request: Any, *, what: str, timeout_seconds: float | None = None) -> Any:
        timeout = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        try:
            return await self._methods[path](request, timeout=timeout)
        except grpc.RpcError as error:
            raise messages.failed_call(
                error, request, what=what, target=self.target, timeout_seconds=timeout
            ) from error
        except grpc.aio.UsageError as error:
            raise messages.closed(self.target, error) from error
