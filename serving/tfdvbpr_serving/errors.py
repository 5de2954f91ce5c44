"""What a caller of the served models can meet, one class a cure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc


class ServingError(RuntimeError):
    """The base of everything the client and the local server raise on their own."""


class ServerUnavailableError(ServingError):
    """Nobody answers at the target, or the server turns requests away: try again later."""


class ServerBusyError(ServerUnavailableError):
    """The server's queue is full. Not sent again by itself: that would make it fuller."""


class DeadlineError(ServingError):
    """The server did not answer in time."""


class InvalidRequestError(ServingError):
    """The server read the request and refused it; sending it again will not help."""


class ModelNotFoundError(ServingError):
    """The server does not serve that model, version, label or signature."""


class MessageTooLargeError(ServingError):
    """A request or an answer is above a message limit, or the server is out of memory."""


class ServerFailedError(ServingError):
    """The server broke while answering; its own log says why."""


class IncompatibleModelError(ServingError):
    """The served model answers otherwise than this client's signature tables say."""


class ModelLoadError(ServingError):
    """A model folder cannot be served."""


class ServerStartError(ServingError):
    """The local server cannot listen where it was told to."""


class UnknownIdError(ServingError):
    """Ids that the served model has never seen.

    Attributes:
        user_ids: the unknown users, each once, in the order of the request.
        item_ids: the unknown items.
        categories: the unknown categories.
    """

    def __init__(
        self,
        model: str,
        *,
        user_ids: Sequence[str] = (),
        item_ids: Sequence[str] = (),
        categories: Sequence[str] = (),
    ) -> None:
        self.user_ids = tuple(dict.fromkeys(user_ids))
        self.item_ids = tuple(dict.fromkeys(item_ids))
        self.categories = tuple(dict.fromkeys(categories))
        kinds = {"user": self.user_ids, "item": self.item_ids, "category": self.categories}
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
    """What was asked of whom, for the sentence of an error."""

    target: str
    model: str
    request: str
    timeout_seconds: float


def error_from_grpc(code: grpc.StatusCode | None, details: str | None, *, call: CallSite) -> ServingError:
    """The error of this tree for a failed call, with what came and what to do.

    Args:
        code: the status the call ended with; None where gRPC gives none.
        details: the server's or gRPC's own words.
        call: what was asked.
    """
    said = (details or "no details given").strip().rstrip(".")
    asked = f"{call.request} of {call.model!r} at {call.target}"
    if code == grpc.StatusCode.UNAVAILABLE:
        return ServerUnavailableError(
            f"The server must answer {asked}. Received: {said}. "
            "Start it, or check host, port and credentials; if its queue is full, try again."
        )
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineError(
            f"{asked} must be answered within {call.timeout_seconds:g} s. It was not. "
            "Give a longer timeout, fewer rows a request, or the server more processors."
        )
    if code == grpc.StatusCode.NOT_FOUND:
        return ModelNotFoundError(
            f"The server must serve what is asked: {asked}. Received: {said}. "
            "Compare the client's model name and version with the server's models."
        )
    if code == grpc.StatusCode.FAILED_PRECONDITION and "signature" in said.lower():
        return ModelNotFoundError(
            f"The model must have the signature asked for: {asked}. Received: {said}. "
            "Export it again with tfdvbpr-export."
        )
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.OUT_OF_RANGE):
        return InvalidRequestError(f"The server refused {asked}: {said}. Correct the request.")
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED and ("full" in said or "Concurrent RPC limit" in said):
        return ServerBusyError(
            f"The server must have room for {asked}. Received: {said}. Send fewer at once, or later."
        )
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return MessageTooLargeError(
            f"{asked} must fit the message limits and the server's memory. Received: {said}. "
            "Send fewer rows a request, or raise max_message_bytes."
        )
    name = code.name if code else "no status"
    return ServerFailedError(f"The server failed on {asked}: {name}: {said}. See the server's log.")
