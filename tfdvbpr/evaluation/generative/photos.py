"""The real photos that pictures are held against: what the extractor and the classifier see in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import DatasetError
from tfdvbpr.evaluation.generative.category_classifier import (
    CategoryClassifier,
    ClassifierOptions,
    PhotoSplit,
    category_classifier,
    photo_split,
)
from tfdvbpr.evaluation.generative.extractors import EXTRACTORS, pictures_features
from tfdvbpr.models.features.catalogue import catalogue_features
from tfdvbpr.run import GanRun

_BLOCK = 256

Pictures = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]
Told = Callable[[str], None]


@dataclass(frozen=True)
class RealPhotos:
    """A catalogue's photos, seen once.

    Attributes:
        dataset: whose they are.
        extractor: a name in EXTRACTORS.
        features: float32 [num_items, F], kept in the dataset's folder.
        classifier: of the categories.
        split: photos the classifier learnt from, and held-out ones.
    """

    dataset: PreparedDataset
    extractor: str
    features: Features
    classifier: CategoryClassifier
    split: PhotoSplit

    @classmethod
    def see(
        cls,
        dataset: PreparedDataset,
        extractor: str,
        *,
        classifier_options: ClassifierOptions | None = None,
        progress: Callable[[int, int], None] | None = None,
        told: Told = lambda line: None,
    ) -> RealPhotos:
        """Extracts features and trains the classifier, or reads both where an earlier call has left them.

        Args:
            dataset: whose photos.
            extractor: a name in EXTRACTORS.
            classifier_options: how the classifier is trained.
            progress: called with (steps of the classifier done, steps in all).
            told: takes lines for people.

        Raises:
            ConfigError: if the extractor's weights cannot be had.
            DatasetError: if fewer than two categories have enough photos.
        """
        options = classifier_options or ClassifierOptions()
        split = photo_split(dataset, options)
        features = catalogue_features(dataset, EXTRACTORS[extractor])
        classifier = category_classifier(dataset, options=options, progress=progress, told=told)
        return cls(dataset, extractor, features, classifier, split)

    @cached_property
    def sides(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows of all photos but the held-out ones, and of the held-out ones."""
        held_out = self.split.held_out
        return np.setdiff1d(np.arange(len(self.features)), held_out), held_out

    def seen(self, images_uint8: Pictures, progress: Callable[[int, int], None] | None = None) -> Features:
        """float32 [N, F]: what the extractor sees in other pictures, uint8 [N, H, W, 3]."""
        parts = []
        for start in range(0, len(images_uint8), _BLOCK):
            block = images_uint8[start : start + _BLOCK]
            parts.append(pictures_features(self.extractor, block))
            if progress is not None:
                progress(start + len(block), len(images_uint8))
        return np.concatenate(parts)


def drawn_categories(gan_run: GanRun, dataset: PreparedDataset) -> npt.NDArray[np.int64]:
    """int64 [num_items]: each photo's category as the GAN counts them, -1 where it was not trained on it.

    Raises:
        DatasetError: if the GAN draws other sizes or shares no category with the dataset.
    """
    about = gan_run.manifest
    if about.image_size != dataset.manifest.image_size:
        raise DatasetError(
            f"DATASET must have pictures of the size that {gan_run.path} draws, {_size(about)}. {dataset.path} has "
            f"{_size(dataset.manifest)}. Give the dataset it was trained on."
        )
    drawn_as = drawn_names(gan_run)
    index = {name: number for number, name in enumerate(about.categories)}
    of = [index[drawn_as[name]] if name in drawn_as else -1 for name in dataset.manifest.categories]
    ids = np.array(of, np.int64)[dataset.items.category_ids]
    if (ids < 0).all():
        raise DatasetError(
            f"DATASET must have a category that {gan_run.path} draws. {dataset.path} has none of them. "
            "Give the dataset it was trained on."
        )
    return ids


def drawn_names(gan_run: GanRun) -> dict[str, str]:
    """Each category the GAN was trained on, and the one it is drawn as: itself, or what it was merged into."""
    names = gan_run.manifest.categories
    return {name: names[gan_run.category_id(name)] for name in gan_run.trained_categories}


def _size(about: Any) -> str:
    height, width = about.image_size
    return f"{height}x{width}"
