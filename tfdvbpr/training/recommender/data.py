"""What the training of a recommender takes of a prepared dataset."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.batches.source import ReadImages
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.storage import training_images
from tfdvbpr.data.interactions import Interactions
from tfdvbpr.models.features.catalogue import Features, catalogue_features, network_features
from tfdvbpr.models.recommenders import RECOMMENDERS
from tfdvbpr.models.recommenders.base import DatasetFacts

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """What a recommender is trained on, taken of a dataset once; training reads nothing else of it.

    Attributes:
        sizes: number of users and items and size of the images, which decide the shape of the model.
        interactions: every action, with its part of the split.
        features: float32 [num_items, F], off-the-shelf; None where the model takes none.
        reader: from the model's frozen network, None where it has none, to what reads the images of item rows, or
            their features by that network. Called once a training: it decodes or encodes the catalogue where that pays.

    Example:
        >>> data = TrainingData.from_dataset(PreparedDataset.open("shop.dataset"), config)  # doctest: +SKIP
        >>> trainer = RecommenderTrainer(data, config, make_strategy())  # doctest: +SKIP
    """

    sizes: DatasetFacts
    interactions: Interactions
    features: Features | None
    reader: Callable[[keras.Model | None], ReadImages]

    @classmethod
    def from_dataset(cls, dataset: PreparedDataset, config: RecommenderConfig) -> TrainingData:
        """Take of a dataset what a configuration needs; features are computed where the dataset keeps none yet.

        To be called outside of a strategy's scope: a network may be built for the features.

        Raises:
            ConfigError: if the extractor needs weights that are not installed.
        """
        takes_features = RECOMMENDERS[config.model].uses_features
        features = catalogue_features(dataset, config.features) if takes_features else None
        return cls(dataset.manifest, dataset.interactions, features, partial(_reader, dataset, config))


def _reader(dataset: PreparedDataset, config: RecommenderConfig, network: keras.Model | None) -> ReadImages:
    if network is not None:
        _log.info("%s is frozen: each image is encoded once, without augmentation.", config.backbone)
        features = network_features(dataset, network, name=config.backbone)
        return lambda items: features[items]
    if not RECOMMENDERS[config.model].uses_images:
        return dataset.images.read
    fingerprint = dataset.manifest.fingerprint
    return training_images(dataset.images, dataset.path, fingerprint=fingerprint, cache=config.image_cache).read
