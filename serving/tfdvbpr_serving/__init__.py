"""A client and a local server for the exported models.

client/: `Client`, `AsyncClient`; protocol/: TensorFlow Serving's messages; server/: the local server; models/: loaded
versions; config.py: options and configuration files; deployment/: examples for TensorFlow Serving; errors.py.
`Client`, `AsyncClient`, `Tls` and `ServingError` load no TensorFlow; `server.server.LocalServer` does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfdvbpr_serving.client.channels import Tls
    from tfdvbpr_serving.client.client import AsyncClient, Client
    from tfdvbpr_serving.errors import ServingError

_MODULES = {
    "AsyncClient": "client.client",
    "Client": "client.client",
    "ServingError": "errors",
    "Tls": "client.channels",
}

__all__ = ["AsyncClient", "Client", "ServingError", "Tls"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
