"""The figures of one set of pictures, held against the real photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.evaluation.generative.extractors import class_posteriors
from tfdvbpr.evaluation.generative.frechet import frechet_distance
from tfdvbpr.evaluation.generative.inception import InceptionScore, inception_score, softmax
from tfdvbpr.evaluation.generative.kernel import kernel_distance
from tfdvbpr.evaluation.generative.manifold import NEIGHBOURHOOD, memorisation, precision_recall
from tfdvbpr.evaluation.generative.photos import RealPhotos
from tfdvbpr.evaluation.generative.similarity import category_diversity

# Below so many pictures a category its Fréchet distance tells next to nothing.
LEAST_FOR_FRECHET = 50
# And below so many its kernel distance.
LEAST_FOR_KERNEL = 10
CLASSIFIER = "category_classifier"

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """A set of pictures and what is known of them.

    Attributes:
        images: uint8 [N, H, W, 3].
        features: float32 [N, F], of the extractor.
        categories: names, one a picture: what each shall be.
        in_proportion: bool [N], the pictures that stand for all of them together.
        drawn_as: names of categories that were merged into others, and those; the others are themselves.
    """

    images: npt.NDArray[np.uint8]
    features: npt.NDArray[np.float32]
    categories: npt.NDArray[np.str_]
    in_proportion: npt.NDArray[np.bool_]
    drawn_as: Mapping[str, str] = field(default_factory=dict)


def overall_figures(photos: RealPhotos, judged: Judged, real_rows: Ids, *, seed: int) -> dict[str, Any]:
    """Distances, scores and shares of the pictures in proportion, by names that hold the extractor's.

    Args:
        photos: the real ones.
        judged: what is held against them.
        real_rows: rows of the photos FID, KID, precision and recall go against.
        seed: of subsets and pairs.
    """
    name, kept = photos.extractor, judged.in_proportion
    real, made = photos.features[real_rows], judged.features[kept]
    figures: dict[str, Any] = {f"fid_{name}": frechet_distance(real, made)}
    kernel = kernel_distance(real, made, seed=seed)
    figures |= {f"kid_{name}": kernel.mean, f"kid_{name}_std": kernel.std}
    posteriors = class_posteriors(name, made)
    if posteriors is not None:
        figures |= _score(f"inception_score_{name}", inception_score(posteriors))
    logits = photos.classifier.logits(judged.images)
    figures |= _score(f"inception_score_{CLASSIFIER}", inception_score(softmax(logits[kept])))
    if min(len(real), len(made)) > NEIGHBOURHOOD:
        manifold = precision_recall(real, made, seed=seed)
        figures |= {f"precision_{name}": manifold.precision, f"recall_{name}": manifold.recall}
    right, known = rightly_named(photos, logits, judged)
    figures["category_accuracy"] = float(right[kept & known].mean()) if (kept & known).any() else None
    figures["category_accuracy_macro"] = _macro(right, judged.categories, known)
    return figures


def copies(photos: RealPhotos, judged: Judged) -> dict[str, float]:
    """Whether the pictures are nearer to photos than held-out photos are; see `memorisation`."""
    train, held_out = photos.sides
    found = memorisation(judged.features[judged.in_proportion], photos.features[train], photos.features[held_out])
    return {
        f"memorisation_{photos.extractor}_median_percentile": found.median_percentile,
        f"memorisation_{photos.extractor}_near_copies": found.near_copies,
        f"nearest_photo_{photos.extractor}": found.nearest_distance,
        f"nearest_photo_{photos.extractor}_of_held_out_photos": found.held_out_distance,
    }


def category_figures(
    photos: RealPhotos, judged: Judged, real_categories: npt.NDArray[np.str_], *, seed: int
) -> dict[str, dict[str, Any]]:
    """Figures of each category by its name: all of its pictures against all of its photos.

    Args:
        photos: the real ones.
        judged: what is held against them.
        real_categories: names, one a photo; "" for photos that nothing goes against.
        seed: of subsets and pairs.
    """
    names = list(dict.fromkeys(judged.categories.tolist()))
    number = {name: place for place, name in enumerate(names)}
    right, known = rightly_named(photos, photos.classifier.logits(judged.images), judged)
    ids = np.array([number[name] for name in judged.categories])
    diversity = category_diversity(judged.images, ids, seed=seed)
    rows = np.flatnonzero(np.isin(real_categories, names))
    real_ids = np.array([number[name] for name in real_categories[rows]])
    real_diversity = category_diversity(photos.dataset.images.read(rows), real_ids, seed=seed)
    found = {}
    for name, place in number.items():
        mine, theirs = ids == place, real_categories == name
        found[name] = {
            "photos": int(theirs.sum()),
            "samples": int(mine.sum()),
            **_distances(photos, photos.features[theirs], judged.features[mine], seed=seed),
            "accuracy": float(right[mine].mean()) if known[mine].any() else None,
            "classifier_accuracy": photos.classifier.category_accuracy.get(name),
            "diversity_1_ms_ssim": diversity.get(place),
            "photos_diversity_1_ms_ssim": real_diversity.get(place),
        }
    return found


def rightly_named(
    photos: RealPhotos, logits: npt.NDArray[np.float32], judged: Judged
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """bool [N] twice: pictures the classifier puts into their own category, and those whose category it knows.

    A picture of a category that others were merged into is named rightly by each of them.
    """
    known = np.array([judged.drawn_as.get(name, name) for name in photos.classifier.categories])
    return known[logits.argmax(axis=1)] == judged.categories, np.isin(judged.categories, known)


def _distances(photos: RealPhotos, real: Any, made: Any, *, seed: int) -> dict[str, float | None]:
    name, size = photos.extractor, min(len(real), len(made))
    kernel = kernel_distance(real, made, seed=seed) if size >= LEAST_FOR_KERNEL else None
    return {
        f"fid_{name}": frechet_distance(real, made) if size >= LEAST_FOR_FRECHET else None,
        f"kid_{name}": None if kernel is None else kernel.mean,
        f"kid_{name}_std": None if kernel is None else kernel.std,
    }


def _score(name: str, score: InceptionScore) -> dict[str, float]:
    return {name: score.mean, f"{name}_std": score.std}


def _macro(
    right: npt.NDArray[np.bool_], categories: npt.NDArray[np.str_], known: npt.NDArray[np.bool_]
) -> float | None:
    """The mean over categories, each counting the same."""
    means = [right[categories == name].mean() for name in np.unique(categories[known])]
    return float(np.mean(means)) if means else None
