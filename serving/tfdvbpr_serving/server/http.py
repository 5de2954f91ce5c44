"""The thread that serves the REST application, and its connections: few enough, and none that says nothing for long."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from tfdvbpr_serving.config import ServerLimits
from tfdvbpr_serving.errors import ServerStartError
from tfdvbpr_serving.server.access import ServerTls

_MOST_HEADER_BYTES = 2**16
_ANSWER_SECONDS = 2.0  # to tell a caller that its body took too long


class HttpThread:
    """Runs an application at host and port, 0 for a free one, until stopped; ServerStartError if it cannot listen."""

    def __init__(
        self, app: ASGIApp, *, host: str, port: int, limits: ServerLimits, tls: ServerTls | None = None
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host.strip("[]"), port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise ServerStartError(
                f"The address {host}:{port} must be free and of this machine. It is not. "
                "Choose another REST port, or 0 for any free one."
            ) from error
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            http=_connection_type(limits, None if tls is None else tls.context()),
            loop="asyncio",
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=max(1, round(limits.idle_seconds)),
            h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="tfdvbpr-rest", daemon=True)

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Starts to serve. Connections are accepted from now on, and answered when the thread runs."""
        self._socket.listen(self._server.config.backlog)
        self._thread.start()

    def stop(self, *, grace_seconds: float) -> None:
        """Accepts no more connections, lets requests in progress end, and stops. Safe to call twice."""
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_seconds))
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(grace_seconds + 5)
        self._socket.close()


class _Early(asyncio.Protocol):
    """Keeps what comes after a handshake has ended and before the connection reads it."""

    def __init__(self) -> None:
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data


def _connection_type(limits: ServerLimits, tls: ssl.SSLContext | None) -> type[H11Protocol]:
    """A connection of uvicorn that is closed when it takes too long.

    It has `read_seconds` for its first request, TLS handshake included, `idle_seconds` to begin each later one,
    `read_seconds` for its body, and as long again to read the response. Past `max_connections`, the one that has sent
    no whole request for longest is closed for each that comes, and the new one if all have: a caller that sends its
    request at once is never shut out by those that send none.
    """
    waiting: dict[H11Protocol, None] = {}  # for the rest of a request, longest first

    class Connection(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _has_headers = False
        _handshake: asyncio.Task[None] | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.max_connections:
                next(iter(waiting), self).transport.abort()
            self._wait(limits.read_seconds)
            if tls is not None:
                transport.pause_reading()  # what comes is no HTTP yet
                self._handshake = self.loop.create_task(self._encrypt(transport, tls))

        async def _encrypt(self, plain: Any, context: ssl.SSLContext) -> None:
            """The handshake. uvicorn's own would neither count nor close connections that do not end it."""
            early = _Early()
            try:
                encrypted = await self.loop.start_tls(
                    plain, early, context, server_side=True, ssl_handshake_timeout=limits.read_seconds
                )
            except OSError as error:  # of TLS, or the caller has gone
                self.connection_lost(error)
                return
            if encrypted is None:
                self.connection_lost(ConnectionResetError())
                return
            encrypted.set_protocol(self)
            super().connection_made(encrypted)
            if early.received:
                self.data_received(early.received)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self in waiting:
                self._note_progress()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._wait(limits.idle_seconds)
            self._note_progress()  # the next request may have come already

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            waiting.pop(self, None)
            if self._timer is not None:
                self._timer.cancel()

        def _wait(self, seconds: float) -> None:
            self._has_headers = False
            waiting[self] = None
            self._close_in(seconds)

        def _note_progress(self) -> None:
            if self.cycle is None or self.cycle.response_complete:
                return
            if not self.cycle.more_body:
                waiting.pop(self, None)
                self._close_in(limits.rest_timeout_seconds + 2 * limits.read_seconds)
            elif not self._has_headers:
                self._has_headers = True
                self._close_in(limits.read_seconds + _ANSWER_SECONDS)

        def _close_in(self, seconds: float) -> None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_later(seconds, self.transport.abort)

    return Connection
