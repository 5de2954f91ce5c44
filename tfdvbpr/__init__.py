"""Visually-aware fashion recommendation and design: DVBPR, a conditional GAN, and preference maximisation.

Importing this package loads no TensorFlow; each name is loaded when it is first used. TensorFlow then computes by
oneDNN on every processor, unless `TF_ENABLE_ONEDNN_OPTS` says otherwise.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tfdvbpr._version import __version__ as __version__

# TensorFlow reads this when it is imported. Its own gradients of convolutions take twice as long on AVX2.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

if TYPE_CHECKING:
    from tfdvbpr.api import attack as attack
    from tfdvbpr.api import check_source as check_source
    from tfdvbpr.api import compare as compare
    from tfdvbpr.api import describe as describe
    from tfdvbpr.api import design as design
    from tfdvbpr.api import ensemble as ensemble
    from tfdvbpr.api import evaluate as evaluate
    from tfdvbpr.api import evaluate_attributes as evaluate_attributes
    from tfdvbpr.api import evaluate_designs as evaluate_designs
    from tfdvbpr.api import evaluate_gan as evaluate_gan
    from tfdvbpr.api import evaluate_panel as evaluate_panel
    from tfdvbpr.api import experiment as experiment
    from tfdvbpr.api import explain as explain
    from tfdvbpr.api import export_designer as export_designer
    from tfdvbpr.api import export_recommender as export_recommender
    from tfdvbpr.api import generate as generate
    from tfdvbpr.api import interpolate as interpolate
    from tfdvbpr.api import prepare as prepare
    from tfdvbpr.api import recommend as recommend
    from tfdvbpr.api import tailor as tailor
    from tfdvbpr.api import train as train
    from tfdvbpr.api import train_gan as train_gan
    from tfdvbpr.api import train_upscaler as train_upscaler
    from tfdvbpr.api import update_items as update_items
    from tfdvbpr.api import update_users as update_users
    from tfdvbpr.api import write_report as write_report
    from tfdvbpr.config import GanConfig as GanConfig
    from tfdvbpr.config import RecommenderConfig as RecommenderConfig
    from tfdvbpr.config import gan_config as gan_config
    from tfdvbpr.config.upscaler import UpscalerConfig as UpscalerConfig
    from tfdvbpr.data.dataset import PreparedDataset as PreparedDataset
    from tfdvbpr.data.preparation.options import PrepareOptions as PrepareOptions
    from tfdvbpr.designing.audience import Audience as Audience
    from tfdvbpr.designing.designer import Designer as Designer
    from tfdvbpr.designing.options import DesignOptions as DesignOptions
    from tfdvbpr.designing.options import TailorOptions as TailorOptions
    from tfdvbpr.designing.tailor import Tailor as Tailor
    from tfdvbpr.errors import TfdvbprError as TfdvbprError
    from tfdvbpr.models.recommenders import recommender_config as recommender_config
    from tfdvbpr.run import GanRun as GanRun
    from tfdvbpr.run import Run as Run
    from tfdvbpr.training.distributed.strategy import make_strategy as make_strategy

# The public names by the module that defines them; type checkers read the imports above.
_NAMES = {
    "tfdvbpr.api": (
        "attack compare describe design ensemble evaluate evaluate_attributes evaluate_designs evaluate_gan "
        "evaluate_panel experiment explain export_designer export_recommender generate interpolate prepare recommend "
        "tailor train train_gan train_upscaler update_items update_users write_report"
    ),
    "tfdvbpr.api.data": "check_source",
    "tfdvbpr.config": "GanConfig RecommenderConfig gan_config",
    "tfdvbpr.config.upscaler": "UpscalerConfig",
    "tfdvbpr.data.dataset": "PreparedDataset",
    "tfdvbpr.data.preparation.options": "PrepareOptions",
    "tfdvbpr.designing.audience": "Audience",
    "tfdvbpr.designing.designer": "Designer",
    "tfdvbpr.designing.options": "DesignOptions TailorOptions",
    "tfdvbpr.designing.tailor": "Tailor",
    "tfdvbpr.errors": "TfdvbprError",
    "tfdvbpr.models.recommenders": "recommender_config",
    "tfdvbpr.run": "GanRun Run",
    "tfdvbpr.training.distributed.strategy": "make_strategy",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}
__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    """Loads a public name from its home (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
