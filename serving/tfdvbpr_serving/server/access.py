"""Who may call the server: TLS, bearer tokens, and the names by which REST may be reached. Needs no TensorFlow."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from tfdvbpr_serving.errors import ServerStartError
from tfdvbpr_serving.server.requests import RequestError, permission_denied

LEAST_TOKEN_CHARACTERS = 16
_SCHEME = "bearer "
_LOCALHOST = "localhost"
_MOST_SHOWN = 100

_UNAUTHENTICATED = (
    'A call must have the metadata or header "authorization: Bearer TOKEN" with a token of this server. It has not.'
)


@dataclass(frozen=True)
class ServerTls:
    """The server's certificate and private key, both as PEM files.

    Attributes:
        certificate: the server's certificate, then those of the authorities between it and the root.
        key: its private key, without a passphrase.

    Raises:
        ServerStartError: if they cannot be read or do not belong together.
    """

    certificate: Path
    key: Path

    def __post_init__(self) -> None:
        try:
            self.context()
        except (OSError, ValueError) as error:  # `ssl.SSLError` is an OSError
            reason = error.strerror if type(error) is not ssl.SSLError and isinstance(error, OSError) else None
            raise ServerStartError(
                f"{self.certificate} and {self.key} must be PEM files of a certificate and its key, which has no "
                f"passphrase. Received: {reason or 'something else'}. Correct --tls-cert and --tls-key."
            ) from error

    def context(self) -> ssl.SSLContext:
        """For REST."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key, password=lambda: b"")  # it would ask the terminal
        context.set_alpn_protocols(["http/1.1"])
        return context

    def credentials(self) -> grpc.ServerCredentials:
        """For gRPC."""
        return grpc.ssl_server_credentials([(self.key.read_bytes(), self.certificate.read_bytes())])


@dataclass(frozen=True)
class Access:
    """Who may call a server.

    Attributes:
        tls: of both ports; None for plain text.
        tokens: any of them lets a caller in; none lets everyone in. The health checks answer without one.
        allowed_hosts: further names by which REST may be reached, beside "localhost", IP addresses and the address
            that the server listens at. Another name in a Host header may be that of a website, which its owner lets
            point to this machine, so that scripts in a browser here could read the answers (DNS rebinding).
        allow_anonymous: whether callers of other machines need no token.

    Raises:
        ValueError: for a token that is short, or has other than visible ASCII characters.

    Example:
        >>> access = Access(tokens=("correct-horse-battery",))
        >>> access.accepts("Bearer correct-horse-battery"), access.accepts("Bearer wrong"), access.accepts(None)
        (True, False, False)
    """

    tls: ServerTls | None = None
    tokens: tuple[str, ...] = field(default=(), repr=False)
    allowed_hosts: tuple[str, ...] = ()
    allow_anonymous: bool = False

    def __post_init__(self) -> None:
        for token in self.tokens:
            if len(token) < LEAST_TOKEN_CHARACTERS or not all("!" <= character <= "~" for character in token):
                raise ValueError(
                    f"A token must have at least {LEAST_TOKEN_CHARACTERS} characters, all of them visible ASCII. One "
                    'has not. Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"'
                )

    def check_address(self, host: str) -> None:
        """Raises `ServerStartError` for an address that other machines reach, if they would need no token."""
        if not (self.tokens or self.allow_anonymous or is_loopback(host)):
            raise ServerStartError(
                f"A server that other machines reach, here at {host}, must have a token. It has none. Give "
                "--token-file FILE, or --allow-anonymous if something before it lets nobody else through."
            )

    def accepts(self, authorization: str | None) -> bool:
        """Whether the value of an Authorization header, or of that metadata, has a token; in constant time."""
        if not self.tokens:
            return True
        given = authorization or ""
        digest = _digest(given[len(_SCHEME) :] if given[: len(_SCHEME)].lower() == _SCHEME else "")
        return sum(hmac.compare_digest(digest, _digest(token)) for token in self.tokens) > 0  # all are compared

    def check_authorization(self, authorization: str | None) -> None:
        """Raises UNAUTHENTICATED for a caller without a token of this server."""
        if not self.accepts(authorization):
            raise RequestError(grpc.StatusCode.UNAUTHENTICATED, _UNAUTHENTICATED)

    def check_host(self, header: str | None, *, listening_at: str) -> None:
        """Raises PERMISSION_DENIED for a Host header with another name than this server's."""
        name = _host_name(header or "")
        own = {_LOCALHOST, _host_name(listening_at), *(_host_name(host) for host in self.allowed_hosts)}
        if name not in own and not _is_address(name):
            raise permission_denied(
                f"The Host header must have a name of this server. Received {(header or '')[:_MOST_SHOWN]!r}. Start "
                "the server with --allowed-host NAME if that is one."
            )


class TokenInterceptor(grpc.ServerInterceptor):
    """Lets no gRPC call without a token through to its method, except to those named."""

    def __init__(self, access: Access, *, open_methods: frozenset[str]) -> None:
        self._access = access
        self._open_methods = open_methods
        # It reads no message, so that nobody waits for one.
        self._refusal = grpc.stream_unary_rpc_method_handler(_refuse)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """The method's handler, or one that refuses the call."""
        if handler_call_details.method not in self._open_methods:
            metadata = dict(handler_call_details.invocation_metadata or ())
            given = metadata.get("authorization")
            if not self._access.accepts(given if isinstance(given, str) else None):
                return self._refusal
        return continuation(handler_call_details)


def read_tokens(path: Path) -> tuple[str, ...]:
    """The tokens of a file, one a line.

    Raises:
        ServerStartError: if it cannot be read or has none.
        ValueError: as `Access`; no token is shown.
    """
    try:
        lines = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "other characters than ASCII"
        raise ServerStartError(
            f"{path} must be a file of tokens, one a line. Received: {reason}. Correct it."
        ) from None
    if not lines:
        raise ServerStartError(f"{path} must have a token in it. It is empty. Write one a line.")
    return Access(tokens=tuple(lines)).tokens


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    name = _host_name(host)
    return name == _LOCALHOST or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


def _refuse(_: Any, context: grpc.ServicerContext) -> None:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, _UNAUTHENTICATED)


def _digest(token: str) -> bytes:
    """So that not even a token's length shows in the time that a comparison takes."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _host_name(host: str) -> str:
    """Without port, brackets, and the dot that may end a name."""
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.endswith("]")):
        host = name
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
