"""Requests that end with a gRPC status and a sentence, as TensorFlow Serving ends them."""

from __future__ import annotations

import re

import grpc

STATUS_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class RequestError(Exception):
    """A request that ends with a gRPC status and a sentence."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> RequestError:
    """A request the caller has to correct."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> RequestError:
    """A request for a model or version that is not served."""
    return RequestError(grpc.StatusCode.NOT_FOUND, message)


def late() -> RequestError:
    """A request whose deadline passed while it waited or ran."""
    return RequestError(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "The request must be answered before its deadline. It was not. Give more time or send fewer rows.",
    )


def given_up() -> RequestError:
    """A request whose caller went away; nobody reads the sentence but the log."""
    return RequestError(grpc.StatusCode.CANCELLED, "The caller must wait for the answer. It cancelled or hung up.")


def readable_message(message: str) -> str:
    """What TensorFlow says went wrong, without graph nodes and stack traces."""
    text = re.split(r"\n\s*\[\[|\[Op:", message, maxsplit=1)[0]
    root = re.search(r"^\s*\(0\)\s+\w+:\s*(.+)$", text, flags=re.MULTILINE)
    lines = [line.strip() for line in (root.group(1) if root else text).splitlines() if line.strip()]
    said = re.sub(r"\{\{.*?\}\}\s*", "", lines[-1]) if lines else ""
    return said or "The model refused the request."
