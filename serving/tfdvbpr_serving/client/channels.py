"""Channels to a server: TLS, retries, compression, message sizes; a blocking transport and one for asyncio."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import grpc

from tfdvbpr_serving.protocol.messages import METHODS

Compression = Literal["gzip", "deflate"]

MAX_MESSAGE_BYTES = 2**31 - 1
COMPRESSIONS: dict[str | None, grpc.Compression] = {
    None: grpc.Compression.NoCompression,
    "gzip": grpc.Compression.Gzip,
    "deflate": grpc.Compression.Deflate,
}

_SCHEMES = ("dns:///", "dns:", "ipv4:", "ipv6:")
_MAX_ATTEMPTS = 5  # gRPC allows no more


@dataclass(frozen=True)
class Tls:
    """An encrypted connection. Each certificate and key is PEM text: a path, or the bytes themselves.

    Attributes:
        root_certificates: of the authority that signed the server's certificate; None for the system's.
        client_key: the client's private key, if the server authenticates its clients (mTLS).
        client_certificates: the client's certificate chain.
        server_name: the name in the server's certificate, if it is not the target's host.

    Raises:
        ValueError: if only one of key and chain is given.
        OSError: from `credentials`, if a file cannot be read.
    """

    root_certificates: bytes | str | os.PathLike[str] | None = None
    client_key: bytes | str | os.PathLike[str] | None = None
    client_certificates: bytes | str | os.PathLike[str] | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.client_key is None) != (self.client_certificates is None):
            raise ValueError("`client_key` and `client_certificates` must be given together. Received one of them.")

    def credentials(self) -> grpc.ChannelCredentials:
        """The gRPC channel credentials."""
        return grpc.ssl_channel_credentials(
            _pem(self.root_certificates), _pem(self.client_key), _pem(self.client_certificates)
        )


@dataclass(frozen=True)
class ChannelSettings:
    """The channel of a client, checked. The attributes are the arguments of `Client`."""

    target: str
    timeout_seconds: float
    max_message_bytes: int
    max_retries: int
    compression: Compression | None
    tls: Tls | None
    token: str | None = field(repr=False)
    options: Sequence[tuple[str, Any]]

    def __post_init__(self) -> None:
        if not self.target:
            raise ValueError('`target` must be "host:port". Received "". Name the server, e.g. "localhost:8500".')
        if self.timeout_seconds <= 0:
            raise ValueError(f"`timeout_seconds` must be > 0. Received {self.timeout_seconds}. Give seconds to wait.")
        if not 0 <= self.max_retries < _MAX_ATTEMPTS:
            raise ValueError(
                f"`max_retries` must be 0 to {_MAX_ATTEMPTS - 1}. Received {self.max_retries}. gRPC allows no more."
            )
        if self.token is not None and (self.token != self.token.strip() or not self.token.isascii() or not self.token):
            raise ValueError("`token` must be ASCII text without white space at its ends. It is not.")
        if self.token is not None and self.tls is None and not is_local(self.target):
            raise ValueError(
                f"A `token` must not cross the network unencrypted. Received one for {self.target} without `tls`. "
                "Give `tls=Tls(...)`, or no token."
            )
        if self.compression not in COMPRESSIONS:
            raise ValueError(f'`compression` must be None, "gzip" or "deflate". Received {self.compression!r}.')

    def arguments(self) -> list[tuple[str, Any]]:
        """The gRPC channel options."""
        merged: dict[str, Any] = {
            "grpc.max_send_message_length": self.max_message_bytes,
            "grpc.max_receive_message_length": self.max_message_bytes,
            "grpc.initial_reconnect_backoff_ms": 100,
            "grpc.min_reconnect_backoff_ms": 100,
            "grpc.max_reconnect_backoff_ms": 2_000,
            "grpc.enable_retries": int(self.max_retries > 0),
        }
        if self.max_retries:
            merged["grpc.service_config"] = _service_config(self.max_retries)
            merged["grpc.per_rpc_retry_buffer_size"] = min(self.max_message_bytes, 64 * 2**20)  # images are large
        if is_local(self.target):
            merged["grpc.enable_http_proxy"] = 0
        if self.tls is not None and self.tls.server_name is not None:
            merged["grpc.ssl_target_name_override"] = self.tls.server_name
        return list({**merged, **dict(self.options)}.items())


class _Transport:
    """A channel, which connects when it is first used, and the protocol's methods on it by path.

    `api` is `grpc` or `grpc.aio`, and the methods block or are for asyncio as it is.
    """

    def __init__(self, settings: ChannelSettings, api: Any) -> None:
        arguments = {"options": settings.arguments(), "compression": COMPRESSIONS[settings.compression]}
        if settings.tls is None:
            self._channel = api.insecure_channel(settings.target, **arguments)
        else:
            self._channel = api.secure_channel(settings.target, settings.tls.credentials(), **arguments)
        self._metadata = None if settings.token is None else (("authorization", f"Bearer {settings.token}"),)
        self._methods = {
            path: self._channel.unary_unary(
                path, request_serializer=request.SerializeToString, response_deserializer=response.FromString
            )
            for path, (request, response) in METHODS.items()
        }


class BlockingTransport(_Transport):
    """Sends requests from threads. Its coroutines never wait for an event loop."""

    def __init__(self, settings: ChannelSettings) -> None:
        super().__init__(settings, grpc)

    async def send(self, path: str, request: Any, *, timeout_seconds: float) -> Any:
        """The response to a request."""
        return self._methods[path](request, timeout=timeout_seconds, metadata=self._metadata)

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)

    async def close(self) -> None:
        """Closes the channel and cancels its calls."""
        self._channel.close()


class AsyncioTransport(_Transport):
    """The same on an event loop. Cancelling a task cancels its call on the server."""

    def __init__(self, settings: ChannelSettings) -> None:
        super().__init__(settings, grpc.aio)

    async def send(self, path: str, request: Any, *, timeout_seconds: float) -> Any:
        """The response to a request."""
        return await self._methods[path](request, timeout=timeout_seconds, metadata=self._metadata)

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Closes the channel and cancels its calls."""
        await self._channel.close()


def is_local(target: str) -> bool:
    """Whether a target is on this machine."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    address = next((target.removeprefix(scheme) for scheme in _SCHEMES if target.startswith(scheme)), target)
    host = address[1:].partition("]")[0] if address.startswith("[") else address.rpartition(":")[0] or address
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _service_config(max_retries: int) -> str:
    retry = {
        "maxAttempts": max_retries + 1,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2.5,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": retry}]})


def _pem(value: bytes | str | os.PathLike[str] | None) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else Path(value).read_bytes()
