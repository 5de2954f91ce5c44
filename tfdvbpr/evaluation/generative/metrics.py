"""Metrics of generated images against real photos. METRICS lists them; a new one is a function and its entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.evaluation.generative.distances import (
    Estimate,
    category_diversity,
    frechet_distance,
    inception_score,
    kernel_distance,
    softmax,
)
from tfdvbpr.evaluation.generative.manifold import (
    NEIGHBOURHOOD,
    Memorisation,
    PrecisionRecall,
    memorisation,
    precision_recall,
)
from tfdvbpr.registry import Registry

if TYPE_CHECKING:
    from tfdvbpr.evaluation.generative.photos import RealPhotos

# With fewer images of a category, its Fréchet distance and its kernel distance tell next to nothing.
MIN_IMAGES_FRECHET = 50
MIN_IMAGES_KERNEL = 10

Names = npt.NDArray[np.str_]
# NaN is a metric that is undefined for these images, None one that does not exist with this extractor.
Value = float | Estimate | None
ByCategory = Mapping[str, Value]


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

    images: npt.NDArray[np.uint8]
    features: npt.NDArray[np.float32]
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
    def real_features(self) -> npt.NDArray[np.float32]:
        """float32 [M, F] of all photos that are compared."""
        return self.photos.features[np.flatnonzero(self.photo_categories != "")]

    @cached_property
    def generated_features(self) -> npt.NDArray[np.float32]:
        """float32 [N, F] of the images in proportion."""
        return self.generated.features[self.generated.in_proportion]

    @cached_property
    def logits(self) -> npt.NDArray[np.float32]:
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
    def manifold(self) -> PrecisionRecall | None:
        """Precision and recall; None with too few images."""
        real, generated = self.real_features, self.generated_features
        enough = min(len(real), len(generated)) > NEIGHBOURHOOD
        return precision_recall(real, generated, seed=self.seed) if enough else None

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
        """`category_diversity` of the images, by category name."""
        return self._diversity(self.generated.images, self.generated.categories)

    @cached_property
    def photo_diversity(self) -> dict[str, float]:
        """`category_diversity` of the photos of the same categories, by category name."""
        rows = np.flatnonzero(np.isin(self.photo_categories, self.names))
        return self._diversity(self.photos.dataset.images.read(rows), self.photo_categories[rows])

    def _diversity(self, images: npt.NDArray[np.uint8], categories: Names) -> dict[str, float]:
        numbers = {name: number for number, name in enumerate(self.names)}
        found = category_diversity(images, np.array([numbers[name] for name in categories]), seed=self.seed)
        return {name: found.get(number, math.nan) for name, number in numbers.items()}

    def features_by_category(self) -> Iterator[tuple[str, Any, Any]]:
        """The name of each category with the features of its photos and of all of its images."""
        for name in self.names:
            real, generated = self.photo_categories == name, self.generated.categories == name
            yield name, self.photos.features[real], self.generated.features[generated]


def _fid(comparison: ImageComparison) -> Value:
    return frechet_distance(comparison.real_features, comparison.generated_features)


def _fid_by_category(comparison: ImageComparison) -> ByCategory:
    return {
        name: frechet_distance(real, generated) if min(len(real), len(generated)) >= MIN_IMAGES_FRECHET else math.nan
        for name, real, generated in comparison.features_by_category()
    }


def _kid(comparison: ImageComparison) -> Value:
    return kernel_distance(comparison.real_features, comparison.generated_features, seed=comparison.seed)


def _kid_by_category(comparison: ImageComparison) -> ByCategory:
    return {
        name: kernel_distance(real, generated, seed=comparison.seed)
        if min(len(real), len(generated)) >= MIN_IMAGES_KERNEL
        else Estimate(math.nan, math.nan)
        for name, real, generated in comparison.features_by_category()
    }


def _imagenet_inception_score(comparison: ImageComparison) -> Value:
    from tfdvbpr.evaluation.generative.photos import class_posteriors

    posteriors = class_posteriors(comparison.photos.extractor, comparison.generated_features)
    return None if posteriors is None else inception_score(posteriors)


def _category_inception_score(comparison: ImageComparison) -> Value:
    return inception_score(softmax(comparison.logits[comparison.generated.in_proportion]))


def _category_accuracy(comparison: ImageComparison) -> Value:
    counted = comparison.generated.in_proportion & comparison.known
    return float(comparison.correct[counted].mean()) if counted.any() else math.nan


def _accuracy_by_category(comparison: ImageComparison) -> ByCategory:
    found = {}
    for name in comparison.names:
        own = comparison.generated.categories == name
        found[name] = float(comparison.correct[own].mean()) if comparison.known[own].any() else math.nan
    return found


def _macro_category_accuracy(comparison: ImageComparison) -> Value:
    categories = comparison.generated.categories
    means = [comparison.correct[categories == name].mean() for name in np.unique(categories[comparison.known])]
    return float(np.mean(means)) if means else math.nan


def _mean(by_category: Mapping[str, float]) -> float:
    """The mean over the categories that have the value."""
    values = [value for value in by_category.values() if not math.isnan(value)]
    return float(np.mean(values)) if values else math.nan


def format_number(value: float) -> str:
    """A number with about four digits."""
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"


@dataclass(frozen=True)
class GenerativeMetric:
    """A metric of generated images: its formula and how it is shown.

    Attributes:
        compute: from a comparison to a number or an `Estimate`; NaN where it is undefined, None where the extractor
            does not have it.
        description: one line.
        column: its name in JSON and CSV, "{extractor}" standing for the extractor's name; its key in METRICS when left
            out.
        higher_is_better: None where neither direction is better.
        by_category: the same of each category by its name, for categories.csv.
        category_column: its name there; `column` when left out.
        samples_only: computed for random samples of a GAN alone, not for held-out photos, baselines and designs.
        in_table: shown in tables, not only in JSON and CSV.
        text: the number as text.
    """

    compute: Callable[[ImageComparison], Value]
    description: str
    column: str | None = None
    higher_is_better: bool | None = None
    by_category: Callable[[ImageComparison], ByCategory] | None = None
    category_column: str | None = None
    samples_only: bool = False
    in_table: bool = True
    text: Callable[[float], str] = format_number


_DIVERSITY = "1 − MS-SSIM of pairs within a category, a mean over categories; best where the photos' is"
METRICS: Registry[GenerativeMetric] = Registry(
    "tfdvbpr.generative_metrics",
    {
        "fid": GenerativeMetric(
            _fid,
            "Fréchet distance of features to the photos' (Heusel et al. 2017)",
            column="fid_{extractor}",
            higher_is_better=False,
            by_category=_fid_by_category,
        ),
        "kid": GenerativeMetric(
            _kid,
            "kernel distance of features, unbiased; ± of one subset (Bińkowski et al. 2018)",
            column="kid_{extractor}",
            higher_is_better=False,
            by_category=_kid_by_category,
        ),
        "inception_score": GenerativeMetric(
            _imagenet_inception_score,
            "each image of one ImageNet class, all of many (Salimans et al. 2016)",
            column="inception_score_{extractor}",
            higher_is_better=True,
        ),
        "category_inception_score": GenerativeMetric(
            _category_inception_score,
            "the inception score with the dataset's own categories",
            column="inception_score_category_classifier",
            higher_is_better=True,
        ),
        "precision": GenerativeMetric(
            lambda comparison: None if comparison.manifold is None else comparison.manifold.precision,
            "share of images within the photos' manifold, k = 3 (Kynkäänniemi et al. 2019)",
            column="precision_{extractor}",
            higher_is_better=True,
        ),
        "recall": GenerativeMetric(
            lambda comparison: None if comparison.manifold is None else comparison.manifold.recall,
            "share of photos within the images' manifold, k = 3 (Kynkäänniemi et al. 2019)",
            column="recall_{extractor}",
            higher_is_better=True,
        ),
        "category_accuracy": GenerativeMetric(
            _category_accuracy,
            "share of images that a classifier trained on the photos assigns to their category",
            higher_is_better=True,
            by_category=_accuracy_by_category,
            category_column="accuracy",
        ),
        "category_accuracy_macro": GenerativeMetric(
            _macro_category_accuracy, "category accuracy, each category counting the same", higher_is_better=True
        ),
        "memorisation": GenerativeMetric(
            lambda comparison: comparison.memorisation.median_percentile,
            "median distance to the nearest training photo, as a percentile of held-out photos' (50: as new photos)",
            column="memorisation_{extractor}_median_percentile",
            samples_only=True,
        ),
        "near_copies": GenerativeMetric(
            lambda comparison: comparison.memorisation.near_copies,
            "share of images nearer to a photo than the nearest 1 % of held-out photos (0.01: as new photos)",
            column="memorisation_{extractor}_near_copies",
            samples_only=True,
        ),
        "nearest_photo": GenerativeMetric(
            lambda comparison: comparison.memorisation.nearest_distance,
            "mean distance to the nearest training photo",
            column="nearest_photo_{extractor}",
            samples_only=True,
            in_table=False,
        ),
        "nearest_photo_of_held_out_photos": GenerativeMetric(
            lambda comparison: comparison.memorisation.held_out_distance,
            "mean distance of held-out photos to the nearest training photo",
            column="nearest_photo_{extractor}_of_held_out_photos",
            samples_only=True,
            in_table=False,
        ),
        "diversity": GenerativeMetric(
            lambda comparison: _mean(comparison.diversity),
            _DIVERSITY,
            column="diversity_1_ms_ssim",
            by_category=lambda comparison: comparison.diversity,
        ),
        "photo_diversity": GenerativeMetric(
            lambda comparison: _mean(comparison.photo_diversity),
            "the same of the photos",
            column="photos_diversity_1_ms_ssim",
            by_category=lambda comparison: comparison.photo_diversity,
            samples_only=True,
        ),
    },
)


def overall_metrics(comparison: ImageComparison, *, samples: bool = False) -> dict[str, float | None]:
    """Computes every metric, by its name in JSON and CSV.

    Args:
        comparison: the images and the photos.
        samples: whether the images are random samples of a GAN; else metrics with `samples_only` are left out.

    Returns:
        None where a metric is undefined; an estimate also gives its standard deviation, under the name with "_std".
    """
    found: dict[str, float | None] = {}
    for name, metric in METRICS.items():
        if samples or not metric.samples_only:
            found |= _columns(column_of(name, metric, comparison.photos.extractor), metric.compute(comparison))
    return found


def category_metrics(comparison: ImageComparison) -> dict[str, dict[str, Any]]:
    """Computes the metrics of each category by its name: all of its images against all of its photos."""
    classifier, names = comparison.photos.classifier, comparison.names
    rows: dict[str, dict[str, Any]] = {
        name: {
            "photos": int((comparison.photo_categories == name).sum()),
            "samples": int((comparison.generated.categories == name).sum()),
            "classifier_accuracy": classifier.category_accuracy.get(name),
        }
        for name in names
    }
    for key, metric in METRICS.items():
        if metric.by_category is not None:
            column = metric.category_column or column_of(key, metric, comparison.photos.extractor)
            for name, value in metric.by_category(comparison).items():
                rows[name] |= _columns(column, value)
    return rows


def column_of(name: str, metric: GenerativeMetric, extractor: str) -> str:
    """The name of a metric in JSON and CSV."""
    return (metric.column or name).replace("{extractor}", extractor)


def _columns(name: str, value: Value) -> dict[str, float | None]:
    if value is None:
        return {}
    if isinstance(value, Estimate):
        return {name: _defined(value.mean), f"{name}_std": _defined(value.std)}
    return {name: _defined(value)}


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def titled_metrics(extractor: str) -> dict[str, tuple[str, GenerativeMetric]]:
    """The metrics that tables show, by their names in JSON and CSV: a title with ↓ or ↑ for better, and the metric."""
    arrows = {True: " ↑", False: " ↓", None: ""}
    columns = {column_of(name, metric, extractor): metric for name, metric in METRICS.items() if metric.in_table}
    return {column: (column + arrows[metric.higher_is_better], metric) for column, metric in columns.items()}


def metric_text(metric: GenerativeMetric, row: Mapping[str, Any], column: str) -> str:
    """A metric of a row as text, with its standard deviation where there is one, and a dash where it is undefined."""
    value, std = row.get(column), row.get(f"{column}_std")
    if value is None:
        return "–"
    return metric.text(value) + ("" if std is None else f" ± {metric.text(std)}")


def metrics_help() -> str:
    """The metrics and their descriptions as lines of text, for `--help`."""
    return "\n".join(f"{name}: {metric.description}" for name, metric in METRICS.items())
