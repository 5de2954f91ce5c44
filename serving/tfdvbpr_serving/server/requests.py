"""A request in progress, its deadline and cancellation; and the status of one that fails, as TensorFlow Serving's."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from tfdvbpr.text import printable

_PATH = re.compile(r"(?<![\w.:/])/[^/\s;'\"]+/[^;:'\"\]]*")  # its folders may have spaces
_MOST_CHARACTERS = 1500  # gRPC refuses a status of more than 8 kB, and may write a character as 12 bytes

STATUS_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class RequestError(Exception):
    """A request that ends with a gRPC status and a sentence.

    The sentence is cut where the request makes it long, and control characters in it are escapes.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        message = printable(message)
        shown = message if len(message) <= _MOST_CHARACTERS else message[:_MOST_CHARACTERS] + "..."
        super().__init__(shown)
        self.code = code
        self.message = shown


def invalid_argument(message: str) -> RequestError:
    """The request must be corrected."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> RequestError:
    """The model or version is not served."""
    return RequestError(grpc.StatusCode.NOT_FOUND, message)


def permission_denied(message: str) -> RequestError:
    """The server does not allow that."""
    return RequestError(grpc.StatusCode.PERMISSION_DENIED, message)


def deadline_exceeded() -> RequestError:
    """The deadline passed while the request waited or ran."""
    return RequestError(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "The response must be ready before the deadline. It was not. Give more time or send fewer rows.",
    )


def cancelled() -> RequestError:
    """The client cancelled the request; only the log shows the message."""
    return RequestError(grpc.StatusCode.CANCELLED, "The client must wait for the response. It cancelled or hung up.")


def readable_message(message: str) -> str:
    """TensorFlow's error message, without graph nodes, stack traces and the server's paths."""
    text = re.split(r"\n\s*\[\[|\[Op:", message, maxsplit=1)[0]
    root = re.search(r"^\s*\(0\)\s+\w+:\s*(.+)$", text, flags=re.MULTILINE)
    lines = [line.strip() for line in (root.group(1) if root else text).splitlines() if line.strip()]
    readable = re.sub(r"\{\{.*?\}\}\s*", "", lines[-1]) if lines else ""
    readable = _PATH.sub("(a path)", readable)
    return readable or "The model rejected the request."


@dataclass(frozen=True)
class ModelChoice:
    """The model that a request names; the newest version if it gives none, serving_default for the signature ""."""

    name: str
    version: int | None = None
    label: str | None = None
    signature: str = ""


class RequestContext:
    """The deadline of a request, None for no limit, and whether its client still waits for the response.

    `deadline` is on the clock of `time.monotonic`; `cancelled` once the client has cancelled, hung up or received the
    response. One callback at a time is called when the client cancels. Setting the callback reads the flag afterwards,
    and `cancel` sets the flag first, so that it is called in either order; it may be called twice.
    """

    __slots__ = ("_callback", "cancelled", "deadline")

    def __init__(self, seconds_left: float | None = None) -> None:
        self.deadline = None if seconds_left is None else time.monotonic() + seconds_left
        self.cancelled = False
        self._callback: Callable[[], object] | None = None

    def seconds_left(self) -> float | None:
        """Until the deadline, 0 after it; None for no deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @property
    def active(self) -> bool:
        """Whether the response is still of use."""
        return not (self.cancelled or self.expired)

    def error(self) -> RequestError:
        """The error of a request that is no longer active."""
        return deadline_exceeded() if self.expired else cancelled()

    def cancel(self) -> None:
        """Marks the request as cancelled and calls the callback. Safe to call twice, from any thread."""
        self.cancelled = True
        callback = self._callback
        if callback is not None:
            callback()

    def on_cancel(self, callback: Callable[[], object] | None) -> None:
        """Sets what is called when the client cancels, at once if it has; None for nothing."""
        self._callback = callback
        if callback is not None and self.cancelled:
            callback()
