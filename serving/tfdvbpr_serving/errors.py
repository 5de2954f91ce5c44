"""Errors of the client and the local server: one class for each thing to do about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

# Full queues and places; gRPC's limits of calls, streams and connections, and what HTTP/2 says of them.
_FULL = re.compile(
    r"\b(full\b|limit exceeded|too[ _]many|pending requests|ENHANCE_YOUR_CALM|REFUSED_STREAM|stream refused)",
    re.IGNORECASE,
)


class ServingError(RuntimeError):
    """Base of the errors that the client and the local server raise."""


class ServerUnavailableError(ServingError):
    """No server responds at the target, or it refuses connections: try again later."""


class ServerBusyError(ServerUnavailableError):
    """The server is full, or cut the call off. The client does not retry by itself, which would fill it further."""


class DeadlineError(ServingError):
    """The server did not respond before the deadline."""


class InvalidRequestError(ServingError):
    """The server rejected the request; sending it again will not help."""


class AccessDeniedError(ServingError):
    """The server wants a token that the client has not sent, or does not allow that request."""


class ModelNotFoundError(ServingError):
    """The server does not serve that model, version, label or signature."""


class MessageTooLargeError(ServingError):
    """A request or a response is above a message limit, or the server is out of memory."""


class ServerFailedError(ServingError):
    """The server failed while it computed the response; its log says why."""


class IncompatibleModelError(ServingError):
    """The served model's response differs from this client's signature tables."""


class ModelLoadError(ServingError):
    """A model folder cannot be served."""


class ServerStartError(ServingError):
    """The local server cannot listen at its address."""


class IdsNotFoundError(ServingError):
    """Ids that the served model does not know.

    Attributes:
        user_ids: the unknown users, each once, in the order of the request.
        item_ids: the unknown items.
        categories: the unknown categories.
        filters: the unknown filters.
    """

    def __init__(
        self,
        model: str,
        *,
        user_ids: Sequence[str] = (),
        item_ids: Sequence[str] = (),
        categories: Sequence[str] = (),
        filters: Sequence[str] = (),
    ) -> None:
        self.user_ids = tuple(dict.fromkeys(user_ids))
        self.item_ids = tuple(dict.fromkeys(item_ids))
        self.categories = tuple(dict.fromkeys(categories))
        self.filters = tuple(dict.fromkeys(filters))
        kinds = {"user": self.user_ids, "item": self.item_ids, "category": self.categories, "filter": self.filters}
        listed = "; ".join(_listed(kind, ids) for kind, ids in kinds.items() if ids)
        super().__init__(
            f"Every id must be known to the model {model!r}. Received unknown {listed}. "
            "Correct them, or pass allow_unknown=True to get the model's fallback and flags."
        )


def _listed(kind: str, ids: Sequence[str], *, shown: int = 10) -> str:
    names = ", ".join(map(repr, ids[:shown]))
    rest = f" and {len(ids) - shown} more" if len(ids) > shown else ""
    return f"{kind} {names}{rest}"


@dataclass(frozen=True)
class CallSite:
    """The server, model and request of a call, for error messages."""

    target: str
    model: str
    request: str
    timeout_seconds: float


def error_from_grpc(code: grpc.StatusCode | None, details: str | None, *, call: CallSite) -> ServingError:
    """The error for a call that failed with a status, if gRPC gives one: what was received, what to do."""
    received = (details or "no details").strip().rstrip(".")
    request = f"{call.request} of {call.model!r} at {call.target}"
    if _is_busy(code, received):
        return ServerBusyError(
            f"The server must have room for {request}. Received: {received}. Send fewer at once, or later."
        )
    if code == grpc.StatusCode.UNAVAILABLE:
        return ServerUnavailableError(
            f"A server must respond to {request}. Received: {received}. Start it, or check host, port and credentials."
        )
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineError(
            f"The server must respond to {request} within {call.timeout_seconds:g} s. It did not. "
            "Give a longer timeout, fewer rows a request, or the server more processors."
        )
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return AccessDeniedError(f"The server must allow {request}. Received: {received}. Give the client its `token`.")
    if code == grpc.StatusCode.NOT_FOUND:
        return ModelNotFoundError(
            f"The server must serve the model of {request}. Received: {received}. "
            "Compare the client's model name and version with the server's models."
        )
    if code == grpc.StatusCode.FAILED_PRECONDITION and "signature" in received.lower():
        return ModelNotFoundError(
            f"The model must have the signature of {request}. Received: {received}. "
            "Export it again with tfdvbpr-export."
        )
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.OUT_OF_RANGE):
        return InvalidRequestError(f"The server rejected {request}: {received}. Correct the request.")
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return MessageTooLargeError(
            f"{request} must fit the message limits and the server's memory. Received: {received}. "
            "Send fewer rows a request, or raise max_message_bytes."
        )
    name = code.name if code else "no status"
    return ServerFailedError(f"The server failed on {request}: {name}: {received}. See the server's log.")


def _is_busy(code: grpc.StatusCode | None, details: str) -> bool:
    """Whether a status means that the server, TensorFlow Serving or gRPC's core in it, has no room for the call.

    A call that the client itself cancels does not come here: the core of an overloaded server cancels what it has not
    begun.
    """
    if code == grpc.StatusCode.CANCELLED:
        return True
    full = code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
    return full and _FULL.search(details) is not None
