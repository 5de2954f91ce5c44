"""Metrics of generated images against real photos. METRICS lists them; a new one is a function and its entry."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tfdvbpr.data.images.silhouettes import SILHOUETTE_THRESHOLD
from tfdvbpr.evaluation.generative.distances import (
    Estimate,
    frechet_distance,
    inception_score,
    kernel_distance,
    softmax,
)
from tfdvbpr.evaluation.generative.ghosts import ghost_rate
from tfdvbpr.registry import Registry

if TYPE_CHECKING:
    from tfdvbpr.evaluation.generative.photos import ImageComparison

# With fewer images of a category, its Fréchet distance and its kernel distance tell next to nothing.
MIN_IMAGES_FRECHET = 50
MIN_IMAGES_KERNEL = 10

# NaN is a metric that is undefined for these images, None one that does not exist with this extractor.
Value = float | Estimate | None
ByCategory = Mapping[str, Value]


def _fid(comparison: ImageComparison) -> Value:
    return frechet_distance(comparison.real_features, comparison.generated_features)


def _fid_by_category(comparison: ImageComparison) -> ByCategory:
    return comparison.by_category(frechet_distance, min_images=MIN_IMAGES_FRECHET, otherwise=math.nan)


def _kid(comparison: ImageComparison) -> Value:
    return kernel_distance(comparison.real_features, comparison.generated_features, seed=comparison.seed)


def _kid_by_category(comparison: ImageComparison) -> ByCategory:
    distance = partial(kernel_distance, seed=comparison.seed)
    return comparison.by_category(distance, min_images=MIN_IMAGES_KERNEL, otherwise=Estimate(math.nan, math.nan))


def _manifold(name: str) -> Callable[[ImageComparison], Value]:
    """A field of the comparison's `Manifolds`, NaN with too few images."""
    return lambda comparison: getattr(comparison.manifolds, name, math.nan)


def _imagenet_inception_score(comparison: ImageComparison) -> Value:
    from tfdvbpr.evaluation.generative.features import class_posteriors

    posteriors = class_posteriors(comparison.photos.space.label, comparison.generated_features)
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
        column: its name in JSON and CSV, "{features}" standing for the label of the feature space (the extractor's
            name, with "_blurred" where photos and images are blurred); its key in METRICS when left out.
        every_space: computed with every extractor, of images as they are and blurred; others with the first extractor
            and images as they are.
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
    every_space: bool = False
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
            column="fid_{features}",
            every_space=True,
            higher_is_better=False,
            by_category=_fid_by_category,
        ),
        "kid": GenerativeMetric(
            _kid,
            "kernel distance of features, unbiased; ± of one subset (Bińkowski et al. 2018)",
            column="kid_{features}",
            every_space=True,
            higher_is_better=False,
            by_category=_kid_by_category,
        ),
        "inception_score": GenerativeMetric(
            _imagenet_inception_score,
            "each image of one ImageNet class, all of many (Salimans et al. 2016)",
            column="inception_score_{features}",
            higher_is_better=True,
        ),
        "category_inception_score": GenerativeMetric(
            _category_inception_score,
            "the inception score with the dataset's own categories",
            column="inception_score_category_classifier",
            higher_is_better=True,
        ),
        "precision": GenerativeMetric(
            _manifold("precision"),
            "share of images within the photos' manifold, k = 3 (Kynkäänniemi et al. 2019)",
            column="precision_{features}",
            every_space=True,
            higher_is_better=True,
        ),
        "recall": GenerativeMetric(
            _manifold("recall"),
            "share of photos within the images' manifold, k = 3 (Kynkäänniemi et al. 2019)",
            column="recall_{features}",
            every_space=True,
            higher_is_better=True,
        ),
        "density": GenerativeMetric(
            _manifold("density"),
            "photos near an image, in units of what photos have: 1 (k = 5, Naeem et al. 2020)",
            column="density_{features}",
            every_space=True,
            higher_is_better=True,
        ),
        "coverage": GenerativeMetric(
            _manifold("coverage"),
            "share of photos with an image near, k = 5 (Naeem et al. 2020)",
            column="coverage_{features}",
            every_space=True,
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
        "ghosts": GenerativeMetric(
            lambda comparison: ghost_rate(comparison.ghostliness[comparison.generated.in_proportion]),
            "share of images more colourful, or fainter, than 99.5 % of the photos of their category (photos: 0.01)",
            higher_is_better=False,
            by_category=lambda comparison: comparison.ghost_rates,
        ),
        "memorisation": GenerativeMetric(
            lambda comparison: comparison.memorisation.median_percentile,
            "median distance to the nearest training photo, as a percentile of held-out photos' (50: as new photos)",
            column="memorisation_{features}_median_percentile",
            samples_only=True,
        ),
        "near_copies": GenerativeMetric(
            lambda comparison: comparison.memorisation.near_copies,
            "share of images nearer to a photo than the nearest 1 % of held-out photos (0.01: as new photos)",
            column="memorisation_{features}_near_copies",
            samples_only=True,
        ),
        "nearest_photo": GenerativeMetric(
            lambda comparison: comparison.memorisation.nearest_distance,
            "mean distance to the nearest training photo",
            column="nearest_photo_{features}",
            samples_only=True,
            in_table=False,
        ),
        "nearest_photo_of_held_out_photos": GenerativeMetric(
            lambda comparison: comparison.memorisation.held_out_distance,
            "mean distance of held-out photos to the nearest training photo",
            column="nearest_photo_{features}_of_held_out_photos",
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
        "silhouette_diversity": GenerativeMetric(
            lambda comparison: _mean(comparison.silhouette_diversity),
            f"1 − overlap (IoU) of the silhouettes of pairs within a category, a mean over categories; a silhouette is "
            f"what differs from the border's median by more than {SILHOUETTE_THRESHOLD} of 255; best where the photos' "
            "is",
            column="diversity_silhouettes",
            by_category=lambda comparison: comparison.silhouette_diversity,
        ),
        "photo_silhouette_diversity": GenerativeMetric(
            lambda comparison: _mean(comparison.photo_silhouette_diversity),
            "the same of the photos",
            column="photos_diversity_silhouettes",
            by_category=lambda comparison: comparison.photo_silhouette_diversity,
            samples_only=True,
        ),
    },
)


def overall_metrics(comparison: ImageComparison, *, samples: bool = False) -> dict[str, float | None]:
    """Computes every metric by its name in JSON and CSV; metrics with `samples_only` for random samples of a GAN alone.

    Returns:
        None where a metric is undefined; an estimate also gives its standard deviation, under the name with "_std".
    """
    chosen = {name: metric for name, metric in METRICS.items() if samples or not metric.samples_only}
    return _computed(chosen, comparison)


def feature_metrics(comparison: ImageComparison) -> dict[str, float | None]:
    """Computes the metrics with `every_space` alone, as `overall_metrics` does: for a further feature space."""
    return _computed({name: metric for name, metric in METRICS.items() if metric.every_space}, comparison)


def _computed(metrics: Mapping[str, GenerativeMetric], comparison: ImageComparison) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, metric in metrics.items():
        found |= _columns(column_of(name, metric, comparison.photos.space.label), metric.compute(comparison))
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
            column = metric.category_column or column_of(key, metric, comparison.photos.space.label)
            for name, value in metric.by_category(comparison).items():
                rows[name] |= _columns(column, value)
    return rows


def column_of(name: str, metric: GenerativeMetric, features: str) -> str:
    """The name of a metric in JSON and CSV, of features with this label."""
    return (metric.column or name).replace("{features}", features)


def _columns(name: str, value: Value) -> dict[str, float | None]:
    if value is None:
        return {}
    if isinstance(value, Estimate):
        return {name: _defined(value.mean), f"{name}_std": _defined(value.std)}
    return {name: _defined(value)}


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value


def titled_metrics(features: str, *, every_space: bool | None = None) -> dict[str, tuple[str, GenerativeMetric]]:
    """The metrics that tables show, by their names in JSON and CSV: a title with ↓ or ↑ for better, and the metric.

    Args:
        features: label of the feature space.
        every_space: True for the metrics of every space alone, False for the others.
    """
    arrows = {True: " ↑", False: " ↓", None: ""}
    return {
        column: (column + arrows[metric.higher_is_better], metric)
        for name, metric in METRICS.items()
        if metric.in_table and every_space in (None, metric.every_space)
        for column in [column_of(name, metric, features)]
    }


def metric_text(metric: GenerativeMetric, row: Mapping[str, Any], column: str) -> str:
    """A metric of a row as text, with its standard deviation where there is one, and a dash where it is undefined."""
    value, std = row.get(column), row.get(f"{column}_std")
    if value is None:
        return "–"
    return metric.text(value) + ("" if std is None else f" ± {metric.text(std)}")


def metrics_help() -> str:
    """The metrics and their descriptions as lines of text, for `--help`."""
    return "\n".join(f"{name}: {metric.description}" for name, metric in METRICS.items())
