"""The real photos, images to evaluate, and what metrics need of both: features, a classifier, category ids."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.silhouettes import silhouette_overlap
from tfdvbpr.data.images.similarity import ms_ssim
from tfdvbpr.errors import DatasetError
from tfdvbpr.evaluation.generative.category_classifier import CategoryClassifier, PhotoSplit, category_classifier
from tfdvbpr.evaluation.generative.distances import Memorisation, category_diversity, memorisation
from tfdvbpr.evaluation.generative.features import BLUR_SIGMA, FeatureSpace, Progress, network_of
from tfdvbpr.evaluation.generative.ghosts import ghost_rate, ghostliness
from tfdvbpr.evaluation.generative.manifolds import DENSITY_NEIGHBOURHOOD, Manifolds, compare_manifolds
from tfdvbpr.evaluation.generative.scratch_network import SCRATCH, scratch_network
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.run import GanRun

Images = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]
Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class RealPhotos:
    """A dataset's photos with their features and a classifier of their categories.

    Attributes:
        dataset: of the photos.
        space: what the features are: an extractor, and whether images are blurred first.
        features: float32 [num_items, F], cached in the dataset's folder.
        classifier: of the categories.
        split: photos that the classifier was trained on, and held-out ones.
    """

    dataset: PreparedDataset
    space: FeatureSpace
    features: Features
    classifier: CategoryClassifier
    split: PhotoSplit

    @classmethod
    def of(cls, dataset: PreparedDataset, extractor: str, *, progress: Progress | None = None) -> RealPhotos:
        """Extracts features and trains the classifier, or reads both from the dataset's folder.

        Args:
            dataset: of the photos.
            extractor: a name in FEATURE_EXTRACTORS.
            progress: called with (done, total) of each slow part.

        Raises:
            ConfigError: if the extractor's weights are unavailable.
            DatasetError: if fewer than two categories have enough photos.
        """
        return cls.in_spaces(dataset, [extractor], sigmas=[0.0], progress=progress)[0]

    @classmethod
    def in_spaces(
        cls,
        dataset: PreparedDataset,
        extractors: Sequence[str],
        *,
        sigmas: Sequence[float] = (0.0, BLUR_SIGMA),
        progress: Progress | None = None,
    ) -> list[RealPhotos]:
        """The same photos with the features of every extractor, blurred by every σ: the second varies first.

        Args:
            dataset: of the photos.
            extractors: names in FEATURE_EXTRACTORS, or SCRATCH: the network that is trained on the photos.
            sigmas: pixels; 0 for photos as they are.
            progress: called with (done, total) of each slow part.

        Raises:
            ConfigError: as of `of`.
            DatasetError: as of `of`.
        """
        split = PhotoSplit.of(dataset)
        classifier = category_classifier(dataset, split, progress=progress)
        spaces = []
        for name in extractors:
            if name == SCRATCH:
                network = scratch_network(dataset, split, progress=progress)
                spaces += [FeatureSpace(name, network, sigma, network.accuracy) for sigma in sigmas]
            else:
                spaces += [FeatureSpace(name, FEATURE_EXTRACTORS[network_of(name)], sigma) for sigma in sigmas]
        return [cls(dataset, space, space.of_photos(dataset, progress), classifier, split) for space in spaces]

    @cached_property
    def sides(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows of all photos but the held-out ones, and of the held-out ones."""
        held_out = self.split.held_out
        return np.setdiff1d(np.arange(len(self.features)), held_out), held_out

    @cached_property
    def categories(self) -> npt.NDArray[np.str_]:
        """The name of each photo's category."""
        return np.array(self.dataset.items.categories)[self.dataset.items.category_ids]


@dataclass(frozen=True)
class ImageSet:
    """Images to evaluate.

    Attributes:
        images: uint8 [N, H, W, 3].
        features: float32 [N, F], of the extractor.
        categories: names, one an image: the category that it should show.
        in_proportion: bool [N], the images that together have the photos' mix of categories.
        merged_into: category names by the names of categories that were merged into them.
    """

    images: Images
    features: Features
    categories: Names
    in_proportion: npt.NDArray[np.bool_]
    merged_into: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageComparison:
    """Images and the photos that they are compared with: what every metric computes from.

    Attributes:
        generated: the images to evaluate.
        photos: the real ones.
        photo_categories: names, one a photo; "" for photos that are left out.
        seed: of subsets and pairs.
    """

    generated: ImageSet
    photos: RealPhotos
    photo_categories: Names
    seed: int = 0

    @cached_property
    def real_features(self) -> Features:
        """float32 [M, F] of all photos that are compared."""
        return self.photos.features[np.flatnonzero(self.photo_categories != "")]

    @cached_property
    def generated_features(self) -> Features:
        """float32 [N, F] of the images in proportion."""
        return self.generated.features[self.generated.in_proportion]

    @cached_property
    def logits(self) -> Features:
        """float32 [N, C] of the category classifier."""
        return self.photos.classifier.logits(self.generated.images)

    @cached_property
    def known(self) -> npt.NDArray[np.bool_]:
        """bool [N], images whose category the classifier knows."""
        return np.isin(self.generated.categories, self._classes)

    @cached_property
    def correct(self) -> npt.NDArray[np.bool_]:
        """bool [N], images that the classifier assigns to their own category, or to one merged into it."""
        return self._classes[self.logits.argmax(axis=1)] == self.generated.categories

    @cached_property
    def _classes(self) -> Names:
        merged = self.generated.merged_into
        return np.array([merged.get(name, name) for name in self.photos.classifier.categories])

    @cached_property
    def manifolds(self) -> Manifolds | None:
        """Precision, recall, density and coverage; None with too few images."""
        real, generated = self.real_features, self.generated_features
        enough = min(len(real), len(generated)) > DENSITY_NEIGHBOURHOOD
        return compare_manifolds(real, generated, seed=self.seed) if enough else None

    @cached_property
    def memorisation(self) -> Memorisation:
        """Distances to the photos that are not held out, beside those of the held-out ones."""
        train, held_out = (self.photos.features[rows] for rows in self.photos.sides)
        return memorisation(self.generated_features, train, held_out)

    @cached_property
    def names(self) -> list[str]:
        """Names of the images' categories, in the order in which they come."""
        return list(dict.fromkeys(self.generated.categories.tolist()))

    @cached_property
    def diversity(self) -> dict[str, float]:
        """`category_diversity` of the images by MS-SSIM, by category name."""
        return self._diversity(self.generated.images, self.generated.categories, ms_ssim)

    @cached_property
    def silhouette_diversity(self) -> dict[str, float]:
        """`category_diversity` of the images' silhouettes, by category name."""
        return self._diversity(self.generated.images, self.generated.categories, silhouette_overlap)

    @cached_property
    def photo_diversity(self) -> dict[str, float]:
        """`category_diversity` of the photos of the same categories by MS-SSIM, by category name."""
        return self._diversity(*self._photos_of_categories, ms_ssim)

    @cached_property
    def photo_silhouette_diversity(self) -> dict[str, float]:
        """`category_diversity` of the silhouettes of the photos of the same categories, by category name."""
        return self._diversity(*self._photos_of_categories, silhouette_overlap)

    @cached_property
    def ghostliness(self) -> npt.NDArray[np.float64]:
        """float64 [N], of the images beside the photos of their categories: above 1 an image is a ghost."""
        return ghostliness(self.generated.images, self.generated.categories, *self._photos_of_categories)

    @cached_property
    def ghost_rates(self) -> dict[str, float]:
        """`ghost_rate` by category name."""
        return {name: ghost_rate(self.ghostliness[self.generated.categories == name]) for name in self.names}

    @cached_property
    def _photos_of_categories(self) -> tuple[Images, Names]:
        rows = np.flatnonzero(np.isin(self.photo_categories, self.names))
        return self.photos.dataset.images.read(rows), self.photo_categories[rows]

    def _diversity(
        self, images: Images, categories: Names, similarity: Callable[[Images, Images], npt.NDArray[Any]]
    ) -> dict[str, float]:
        numbers = {name: number for number, name in enumerate(self.names)}
        ids = np.array([numbers[name] for name in categories])
        found = category_diversity(images, ids, similarity=similarity, seed=self.seed)
        return {name: found.get(number, math.nan) for name, number in numbers.items()}

    def by_category(
        self, distance: Callable[[Features, Features], Any], *, min_images: int, otherwise: Any
    ) -> dict[str, Any]:
        """A distance of the features of each category's photos and images, where there are enough of both."""
        found = {}
        for name in self.names:
            real = self.photos.features[self.photo_categories == name]
            generated = self.generated.features[self.generated.categories == name]
            found[name] = distance(real, generated) if min(len(real), len(generated)) >= min_images else otherwise
        return found


def merged_categories(gan_run: GanRun) -> dict[str, str]:
    """Each category that the GAN was trained on, and the one it is generated as: itself or what it was merged into."""
    names = gan_run.manifest.categories
    return {name: names[gan_run.category_id(name)] for name in gan_run.trained_categories}


def gan_category_ids(gan_run: GanRun, dataset: PreparedDataset) -> npt.NDArray[np.int64]:
    """int64 [num_items]: the GAN's id of each photo's category, -1 where it was not trained on it.

    Raises:
        DatasetError: if the image sizes differ, or the GAN and the dataset have no category in common.
    """
    manifest = gan_run.manifest
    sizes = dict.fromkeys((manifest.image_size, gan_run.shown_size))
    if dataset.manifest.image_size not in sizes:
        raise DatasetError(
            f"DATASET must have images of the size that {gan_run.path} generates, {' or '.join(map(_size, sizes))}. "
            f"{dataset.path} has {_size(dataset.manifest.image_size)}. Give the dataset it was trained on."
        )
    merged = merged_categories(gan_run)
    index = {name: number for number, name in enumerate(manifest.categories)}
    ids_by_category = [index[merged[name]] if name in merged else -1 for name in dataset.manifest.categories]
    ids = np.array(ids_by_category, np.int64)[dataset.items.category_ids]
    if (ids < 0).all():
        raise DatasetError(
            f"DATASET must have a category that {gan_run.path} generates. {dataset.path} has none of them. "
            "Give the dataset it was trained on."
        )
    return ids


def photo_names(gan_run: GanRun, category_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.str_]:
    """The GAN's name of each photo's category, "" for the id -1."""
    return np.array([*gan_run.manifest.categories, ""])[category_ids]


def _size(image_size: tuple[int, int]) -> str:
    height, width = image_size
    return f"{height}x{width}"
