"""From a run folder to a versioned SavedModel that TensorFlow Serving loads.

Importing this package loads no TensorFlow; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfdvbpr_export.designer import export_designer
    from tfdvbpr_export.recommender import export_recommender

_HOMES = {
    "export_designer": "tfdvbpr_export.designer",
    "export_recommender": "tfdvbpr_export.recommender",
}

__all__ = ["export_designer", "export_recommender"]


def __getattr__(name: str) -> Any:
    """Loads a public name from its home (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
