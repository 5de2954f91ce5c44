"""Validated configurations of a training run: defaults, then a YAML file, then KEY=VALUE overrides."""

from tfdvbpr.config.base import TrainingConfig
from tfdvbpr.config.gan import GAN_PRESETS, GanConfig, gan_config
from tfdvbpr.config.recommender import MODEL_DEFAULTS, PRESETS, RecommenderConfig, recommender_config
from tfdvbpr.config.resolving import Config, dump_yaml, resolve_config

__all__ = [
    "GAN_PRESETS",
    "MODEL_DEFAULTS",
    "PRESETS",
    "Config",
    "GanConfig",
    "RecommenderConfig",
    "TrainingConfig",
    "dump_yaml",
    "gan_config",
    "recommender_config",
    "resolve_config",
]
