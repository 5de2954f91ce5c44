"""Validated configurations of a training run: defaults, then a YAML file, then KEY=VALUE overrides."""

from tfdvbpr.config.base import Config, TrainingConfig, describe_yaml, dump_yaml, resolve_config
from tfdvbpr.config.gan import GAN_PRESETS, GanConfig, gan_config
from tfdvbpr.config.recommender import RecommenderConfig

__all__ = [
    "GAN_PRESETS",
    "Config",
    "GanConfig",
    "RecommenderConfig",
    "TrainingConfig",
    "describe_yaml",
    "dump_yaml",
    "gan_config",
    "resolve_config",
]
