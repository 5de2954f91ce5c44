"""From a run folder to a versioned SavedModel that TensorFlow Serving loads.

Importing this package loads no TensorFlow; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfdvbpr_export.designer.heads import export_designer
    from tfdvbpr_export.options import DesignerLimits, RecommenderOptions, ScannOptions
    from tfdvbpr_export.recommender.heads import export_recommender
    from tfdvbpr_export.recommender.updating import update_served_items
    from tfdvbpr_export.validation.inspecting import inspect_version
    from tfdvbpr_export.validation.validate import validate

_HOMES = {
    "DesignerLimits": "tfdvbpr_export.options",
    "RecommenderOptions": "tfdvbpr_export.options",
    "ScannOptions": "tfdvbpr_export.options",
    "export_designer": "tfdvbpr_export.designer.heads",
    "export_recommender": "tfdvbpr_export.recommender.heads",
    "inspect_version": "tfdvbpr_export.validation.inspecting",
    "update_served_items": "tfdvbpr_export.recommender.updating",
    "validate": "tfdvbpr_export.validation.validate",
}

__all__ = [
    "DesignerLimits",
    "RecommenderOptions",
    "ScannOptions",
    "export_designer",
    "export_recommender",
    "inspect_version",
    "update_served_items",
    "validate",
]


def __getattr__(name: str) -> Any:
    """Loads a public name from its home (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
