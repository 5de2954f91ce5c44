"""A client and a local server for the exported models.

`Client` and `AsyncClient` load no TensorFlow; each is imported when it is first asked for. The local server is
`tfdvbpr_serving.server.LocalServer`, and does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfdvbpr_serving.async_client import AsyncClient
    from tfdvbpr_serving.channels import Tls
    from tfdvbpr_serving.client import Client
    from tfdvbpr_serving.errors import ServingError

_HOMES = {"AsyncClient": "async_client", "Client": "client", "ServingError": "errors", "Tls": "channels"}

__all__ = ["AsyncClient", "Client", "ServingError", "Tls"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
