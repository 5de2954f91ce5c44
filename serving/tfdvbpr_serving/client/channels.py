"""How a client reaches its server: security, retries, compression, message sizes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

MAX_MESSAGE_BYTES = 2**31 - 1
COMPRESSIONS = {
    None: grpc.Compression.NoCompression,
    "gzip": grpc.Compression.Gzip,
    "deflate": grpc.Compression.Deflate,
}

_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_MOST_ATTEMPTS = 5  # gRPC itself makes no more


@dataclass(frozen=True)
class Tls:
    """An encrypted connection. Each of the three is PEM text: a path, or the bytes themselves.

    Attributes:
        root_certificates: of who signs the server; None for those this machine trusts.
        client_key: the client's own private key, if the server wants to know who calls (mTLS).
        client_certificates: the client's chain that goes with the key.
        server_name: the name the certificate is for, where it is not the target's host.

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
        """What gRPC takes."""
        return grpc.ssl_channel_credentials(
            _pem(self.root_certificates), _pem(self.client_key), _pem(self.client_certificates)
        )


@dataclass(frozen=True)
class ChannelSettings:
    """The channel of a client.

    Attributes:
        target: "host:port".
        timeout_seconds: for calls that give none of their own.
        max_message_bytes: the largest request or answer; the protocol itself ends at 2 GiB.
        max_retries: how often a call is sent again, with growing waits and within its time, when nobody answers
            (UNAVAILABLE). Nothing else is ever sent again.
        compression: None, "gzip" or "deflate", for what is sent.
        tls: None for plain text.
        options: further gRPC channel options, which win over ours.

    Raises:
        ValueError: if one is out of range.
    """

    target: str
    timeout_seconds: float
    max_message_bytes: int
    max_retries: int
    compression: str | None
    tls: Tls | None
    options: Sequence[tuple[str, Any]]

    def __post_init__(self) -> None:
        if not self.target:
            raise ValueError('`target` must be "host:port". Received "". Name the server, e.g. "localhost:8500".')
        if self.timeout_seconds <= 0:
            raise ValueError(f"`timeout_seconds` must be > 0. Received {self.timeout_seconds}. Give seconds to wait.")
        if not 0 <= self.max_retries < _MOST_ATTEMPTS:
            raise ValueError(
                f"`max_retries` must be 0 to {_MOST_ATTEMPTS - 1}. Received {self.max_retries}. gRPC makes no more."
            )
        if self.compression not in COMPRESSIONS:
            raise ValueError(f'`compression` must be None, "gzip" or "deflate". Received {self.compression!r}.')

    @property
    def grpc_compression(self) -> grpc.Compression:
        """What gRPC takes."""
        return COMPRESSIONS[self.compression]

    def arguments(self) -> list[tuple[str, Any]]:
        """What gRPC takes as channel options."""
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
            merged["grpc.per_rpc_retry_buffer_size"] = min(self.max_message_bytes, 64 * 2**20)  # pictures are large
        if self.target.startswith(_LOCAL_HOSTS):
            merged["grpc.enable_http_proxy"] = 0
        if self.tls is not None and self.tls.server_name is not None:
            merged["grpc.ssl_target_name_override"] = self.tls.server_name
        return list({**merged, **dict(self.options)}.items())


def open_channel(settings: ChannelSettings, api: Any) -> Any:
    """A channel that connects when it is first used.

    Args:
        settings: where to, and how.
        api: `grpc`, or `grpc.aio` for asyncio.
    """
    arguments = {"options": settings.arguments(), "compression": settings.grpc_compression}
    if settings.tls is None:
        return api.insecure_channel(settings.target, **arguments)
    return api.secure_channel(settings.target, settings.tls.credentials(), **arguments)


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
