"""From a run folder to a versioned SavedModel that TensorFlow Serving loads.

`recommender/` and `designer/` hold the served signatures, `retrieval/` the search, `saved_model` and `versions` write a
version, `validation` checks one. Importing this package loads no TensorFlow; a name loads when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfdvbpr_export.designer.heads import export_designer
    from tfdvbpr_export.options import RecommenderOptions, ScannOptions
    from tfdvbpr_export.recommender.heads import export_recommender, update_served_items
    from tfdvbpr_export.validation import validate
    from tfdvbpr_export.versions import read_manifest

_HOMES = {
    "RecommenderOptions": "tfdvbpr_export.options",
    "ScannOptions": "tfdvbpr_export.options",
    "export_designer": "tfdvbpr_export.designer.heads",
    "export_recommender": "tfdvbpr_export.recommender.heads",
    "read_manifest": "tfdvbpr_export.versions",
    "update_served_items": "tfdvbpr_export.recommender.heads",
    "validate": "tfdvbpr_export.validation",
}

__all__ = [
    "RecommenderOptions",
    "ScannOptions",
    "export_designer",
    "export_recommender",
    "read_manifest",
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
