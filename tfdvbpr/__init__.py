"""Visually-aware fashion recommendation and design: DVBPR, a conditional GAN, and preference maximisation.

Importing this package loads no TensorFlow; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tfdvbpr._version import __version__

if TYPE_CHECKING:
    from tfdvbpr.api import (
        compare,
        describe,
        design,
        evaluate,
        evaluate_attributes,
        evaluate_designs,
        evaluate_gan,
        experiment,
        explain,
        export_designer,
        export_recommender,
        generate,
        interpolate,
        prepare,
        tailor,
        train,
        train_gan,
        update_items,
    )
    from tfdvbpr.config import GanConfig, RecommenderConfig, gan_config
    from tfdvbpr.data.dataset import PreparedDataset
    from tfdvbpr.data.preparation.prepare import PrepareOptions
    from tfdvbpr.designing.audience import Audience
    from tfdvbpr.designing.designer import Designer
    from tfdvbpr.designing.options import DesignOptions, TailorOptions
    from tfdvbpr.designing.tailor import Tailor
    from tfdvbpr.errors import TfdvbprError
    from tfdvbpr.models.recommenders import recommender_config
    from tfdvbpr.run import GanRun, Run
    from tfdvbpr.training.distributed.strategy import make_strategy

_HOMES = {
    "Audience": "tfdvbpr.designing.audience",
    "DesignOptions": "tfdvbpr.designing.options",
    "Designer": "tfdvbpr.designing.designer",
    "GanConfig": "tfdvbpr.config",
    "GanRun": "tfdvbpr.run",
    "PrepareOptions": "tfdvbpr.data.preparation.prepare",
    "PreparedDataset": "tfdvbpr.data.dataset",
    "RecommenderConfig": "tfdvbpr.config",
    "Run": "tfdvbpr.run",
    "Tailor": "tfdvbpr.designing.tailor",
    "TailorOptions": "tfdvbpr.designing.options",
    "TfdvbprError": "tfdvbpr.errors",
    "compare": "tfdvbpr.api",
    "describe": "tfdvbpr.api",
    "design": "tfdvbpr.api",
    "evaluate": "tfdvbpr.api",
    "evaluate_attributes": "tfdvbpr.api",
    "evaluate_designs": "tfdvbpr.api",
    "evaluate_gan": "tfdvbpr.api",
    "experiment": "tfdvbpr.api",
    "explain": "tfdvbpr.api",
    "gan_config": "tfdvbpr.config",
    "export_designer": "tfdvbpr.api",
    "export_recommender": "tfdvbpr.api",
    "generate": "tfdvbpr.api",
    "interpolate": "tfdvbpr.api",
    "make_strategy": "tfdvbpr.training.distributed.strategy",
    "prepare": "tfdvbpr.api",
    "recommender_config": "tfdvbpr.models.recommenders",
    "tailor": "tfdvbpr.api",
    "train": "tfdvbpr.api",
    "train_gan": "tfdvbpr.api",
    "update_items": "tfdvbpr.api",
}

__all__ = [
    "Audience",
    "DesignOptions",
    "Designer",
    "GanConfig",
    "GanRun",
    "PrepareOptions",
    "PreparedDataset",
    "RecommenderConfig",
    "Run",
    "Tailor",
    "TailorOptions",
    "TfdvbprError",
    "__version__",
    "compare",
    "describe",
    "design",
    "evaluate",
    "evaluate_attributes",
    "evaluate_designs",
    "evaluate_gan",
    "experiment",
    "explain",
    "export_designer",
    "export_recommender",
    "gan_config",
    "generate",
    "interpolate",
    "make_strategy",
    "prepare",
    "recommender_config",
    "tailor",
    "train",
    "train_gan",
    "update_items",
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
