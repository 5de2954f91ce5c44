"""A client and a local server for the exported models.

`Client` and `AsyncClient` load no TensorFlow; each is imported when it is first asked for. The local server is
`tfdvbpr_serving.server.server.LocalServer`, and does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfdvbpr_serving.client.async_client import AsyncClient
    from tfdvbpr_serving.client.blocking import Client
    from tfdvbpr_serving.client.channels import Tls
    from tfdvbpr_serving.errors import ServingError

_HOMES = {
    "AsyncClient": "client.async_client",
    "Client": "client.blocking",
    "ServingError": "errors",
    "Tls": "client.channels",
}

__all__ = ["AsyncClient", "Client", "ServingError", "Tls"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
