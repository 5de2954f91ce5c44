"""What is checked of a configuration before a recommender is trained."""

from __future__ import annotations

from collections.abc import Iterator

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.batches.samplers import SAMPLERS
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.augmentation import check_augmentation
from tfdvbpr.errors import ConfigError, check_choice
from tfdvbpr.losses.ranking import RANKING_LOSSES
from tfdvbpr.models.backbones import BACKBONES
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.models.recommenders import RECOMMENDERS


def notes(config: RecommenderConfig, dataset: PreparedDataset) -> Iterator[str]:
    """What is unusual, but no error: lines for people."""
    yield from size_notes(config, dataset)


def size_notes(config: RecommenderConfig, dataset: PreparedDataset) -> Iterator[str]:
    """A line where pictures have another size than the configuration is meant for."""
    wanted, there = config.intended_image_size, dataset.manifest.image_size
    if wanted is not None and tuple(wanted) != tuple(there):
        yield (
            f"Warning: the configuration is meant for pictures of {wanted[0]}x{wanted[1]}. The dataset has "
            f"{there[0]}x{there[1]}, which are used. Prepare it with --image-size {wanted[0]}x{wanted[1]} otherwise."
        )


def check_names(config: RecommenderConfig) -> None:
    """Refuses names that are unknown and choices that do not go together.

    Raises:
        ConfigError: naming the field.
    """
    check_choice("model", config.model, RECOMMENDERS)
    check_choice("loss", config.loss, RANKING_LOSSES)
    check_choice("sampler", config.sampler, SAMPLERS)
    check_augmentation(config.augmentation)
    check_choice("backbone", config.backbone, BACKBONES)
    check_choice("features", config.features, FEATURE_EXTRACTORS)
    if config.reduction == "sum" and config.batching != "triplet":
        raise ConfigError(
            "`reduction` may be sum with triplet batching alone. Received shared-item. Set reduction=mean."
        )
    RECOMMENDERS[config.model].check_config(config)
