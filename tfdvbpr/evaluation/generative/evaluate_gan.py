"""Generates images with GANs and compares them with the real photos, side by side."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.similarity import WEIGHTS, num_scales
from tfdvbpr.designing.sample import sample_images
from tfdvbpr.errors import ConfigError, DatasetError
from tfdvbpr.evaluation.generative.category_classifier import MIN_PHOTOS
from tfdvbpr.evaluation.generative.features import DEFAULT_EXTRACTOR, Progress, blurred, check_extractor
from tfdvbpr.evaluation.generative.metrics import category_metrics, feature_metrics, overall_metrics
from tfdvbpr.evaluation.generative.photos import (
    ImageComparison,
    ImageSet,
    RealPhotos,
    gan_category_ids,
    merged_categories,
    photo_names,
)
from tfdvbpr.evaluation.generative.scratch_network import SCRATCH
from tfdvbpr.run import GanRun

REAL = "real photos (held out)"
PHOTO_SIGMAS = (0.8, 1.2)  # pixels, of the blurred held-out photos
_SEEDS_PER_RUN = 1_000_000
_log = logging.getLogger(__name__)

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class GanEvaluationOptions:
    """How GANs are evaluated.

    Attributes:
        extractors: names in FEATURE_EXTRACTORS, or SCRATCH: the network that is trained on the photos. Features of the
            first are also used for the nearest photos and for the metrics of a category.
        num_samples: images in the photos' mix of categories, for the overall metrics.
        samples_per_category: images of each category at least, for the metrics of a category.
        seed: of latents, subsets and pairs.
    """

    extractors: tuple[str, ...] = (DEFAULT_EXTRACTOR, SCRATCH)
    num_samples: int = 5000
    samples_per_category: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("num_samples", 10), ("samples_per_category", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"`{name}` must be at least {least}. Received {getattr(self, name)}.")
        if not self.extractors or len(set(self.extractors)) < len(self.extractors):
            raise ConfigError(f"`extractors` must name at least one, each once. Received {self.extractors}.")


@dataclass(frozen=True)
class EvaluatedGan:
    """One run, what it generated, its overall metrics by name, and by category name the metrics of each category."""

    run: GanRun
    samples: ImageSet
    metrics: dict[str, Any]
    categories: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class GanEvaluation:
    """Several GANs on one dataset.

    Attributes:
        spaces: the real photos with the features of each extractor, as they are and blurred.
        options: how the GANs were evaluated.
        gans: by label, in the order given.
        real: by label, metrics of held-out photos against the others: as they are, which is about the best that can be
            reached, and blurred, which is what a generator of every item would have that is not sharp.
        warnings: sentences about metrics of little value.
    """

    spaces: list[RealPhotos]
    options: GanEvaluationOptions
    gans: dict[str, EvaluatedGan]
    real: dict[str, dict[str, Any]]
    warnings: list[str]

    @property
    def photos(self) -> RealPhotos:
        """The photos as they are, with the features of the first extractor."""
        return self.spaces[0]


def compare_gans(
    gan_runs: Mapping[str, GanRun],
    dataset: PreparedDataset,
    *,
    options: GanEvaluationOptions | None = None,
    progress: Progress | None = None,
) -> GanEvaluation:
    """Generates images with each GAN and computes every entry of METRICS, writing nothing.

    The overall metrics compare with all photos of the categories that every GAN generates, which are those of the
    training. The category classifier was trained on four fifths of them; its accuracy on the others stands beside that
    of the images. For memorisation the distances of those others are what new photos have. Arguments and errors are
    those of `tfdvbpr.evaluate_gan`, but for the runs, which are by label.
    """
    options = options or GanEvaluationOptions()
    if not gan_runs:
        raise ConfigError("`gan_runs` must name at least one. Received none.")
    for extractor in options.extractors:
        check_extractor(extractor, gan_runs.values(), further=[SCRATCH])
    category_ids, left_out = common_categories(gan_runs, dataset)
    spaces = RealPhotos.in_spaces(dataset, options.extractors, progress=progress)
    gans = {}
    for label, run in gan_runs.items():
        _log.info("Evaluating %s.", label)
        gans[label] = _evaluate(run, spaces, category_ids[label], options, progress)
    _log.info("Evaluating held-out photos.")
    real = held_out_metrics(spaces, seed=options.seed, progress=progress)
    warnings = [*left_out, *_warnings(spaces[0], gans, options)]
    return GanEvaluation(spaces, options, gans, real, warnings)


def common_categories(gan_runs: Mapping[str, GanRun], dataset: PreparedDataset) -> tuple[dict[str, Counts], list[str]]:
    """Finds the photos of categories that every GAN generates, so that all are compared with the same photos.

    Returns:
        Each GAN's id of each photo's category, int64 [num_items], by label, -1 for photos that are left out; and a
        sentence if there are such photos.

    Raises:
        DatasetError: as of `gan_category_ids`, or if the GANs have no category in common.
    """
    ids_by_label = {label: gan_category_ids(run, dataset) for label, run in gan_runs.items()}
    common = np.all([ids >= 0 for ids in ids_by_label.values()], axis=0)
    if not common.any():
        raise DatasetError(
            f"Runs must generate a category in common to be compared. {', '.join(gan_runs)} do not. "
            "Evaluate them one by one."
        )
    names = sorted(set(np.array(dataset.items.table["category"])[~common].tolist()))
    left_out = (
        f"{int((~common).sum())} photos of {len(names)} categories that not every run generates are left out: "
        f"{', '.join(names)}."
    )
    return {label: np.where(common, ids, -1) for label, ids in ids_by_label.items()}, [left_out] if names else []


def generate_samples(
    gan_run: GanRun,
    photo_categories: Counts,
    *,
    num_samples: int,
    min_per_category: int,
    seed: int,
    shown: bool = False,
) -> tuple[npt.NDArray[np.uint8], Counts, npt.NDArray[np.bool_]]:
    """Generates random images in the photos' mix of categories, and more of categories that would have too few.

    Args:
        photo_categories: int64 [num_items], the GAN's id of each photo's category, -1 for photos that are left out.
        min_per_category: images of each category, at least.
        seed: the same seed gives the same images; two runs get the same latents.
        shown: whether an upscaler enlarges them, see `sample_images`.

    Returns:
        Images, uint8 [N, H, W, 3], RGB, category after category; their category ids, int64 [N]; and bool [N]: those
        that together have the photos' mix of categories.
    """
    counts = np.bincount(photo_categories[photo_categories >= 0], minlength=len(gan_run.manifest.categories))
    shares = in_proportion(counts, num_samples)
    totals = np.where(counts > 0, np.maximum(shares, min_per_category), 0)
    ids = np.repeat(np.arange(len(totals)), totals)
    position = np.arange(len(ids)) - (np.cumsum(totals) - totals)[ids]  # within the category
    names = [gan_run.manifest.categories[category] for category in ids]
    first = seed * _SEEDS_PER_RUN
    images = sample_images(gan_run, names, seeds=range(first, first + len(ids)), shown=shown)
    return images, ids, position < shares[ids]


def in_proportion(counts: Counts, total: int) -> Counts:
    """int64 [C]: splits `total` in the proportion of the counts, by largest remainders; nothing for an empty one."""
    shares = counts * total / counts.sum()
    whole = np.floor(shares).astype(np.int64)
    order = np.argsort(whole - shares, kind="stable")  # largest remainder first
    whole[order[: total - int(whole.sum())]] += 1
    return whole


def _evaluate(
    run: GanRun,
    spaces: Sequence[RealPhotos],
    category_ids: Counts,
    options: GanEvaluationOptions,
    progress: Progress | None,
) -> EvaluatedGan:
    images, ids, proportion = generate_samples(
        run,
        category_ids,
        num_samples=options.num_samples,
        min_per_category=options.samples_per_category,
        seed=options.seed,
        shown=tuple(spaces[0].dataset.manifest.image_size) == tuple(run.shown_size),
    )
    photos, names = spaces[0], photo_names(run, category_ids)
    features = photos.space.extract(images, progress)
    samples = ImageSet(images, features, photo_names(run, ids), proportion, merged_categories(run))
    comparison = ImageComparison(samples, photos, names, options.seed)
    metrics = overall_metrics(comparison, samples=True)
    counted = replace(
        samples,
        images=images[proportion],
        categories=samples.categories[proportion],
        in_proportion=proportion[proportion],
    )
    for other in spaces[1:]:
        counted = replace(counted, features=other.space.extract(counted.images, progress))
        metrics |= feature_metrics(ImageComparison(counted, other, names, options.seed))
    found = {**metrics, "num_samples": int(proportion.sum()), "training_seconds": run.manifest.training_seconds}
    return EvaluatedGan(run, samples, found, category_metrics(comparison))


def held_out_metrics(
    spaces: Sequence[RealPhotos], *, seed: int = 0, progress: Progress | None = None
) -> dict[str, dict[str, Any]]:
    """Held-out photos in the place of samples, as they are and blurred, against the photos that were not held out.

    Returns:
        By label the metrics of the photos as they are, and of the same photos blurred by each of PHOTO_SIGMAS.
    """
    photos = spaces[0]
    _, rows = photos.sides
    images, categories = photos.dataset.images.read(rows), photos.categories[rows]
    others = photos.categories.copy()
    others[rows] = ""
    found: dict[str, dict[str, Any]] = {}
    for sigma in (0.0, *PHOTO_SIGMAS):
        label = f"the same, blurred σ={sigma:g} px" if sigma else REAL
        found[label] = {}
        for each in spaces:
            features = (
                each.space.of_blurred_photos(each.dataset, rows, sigma, progress) if sigma else each.features[rows]
            )
            shown = blurred(images, sigma) if sigma else images
            held_out = ImageSet(shown, features, categories, np.ones(len(rows), bool))
            compute = overall_metrics if each is photos else feature_metrics
            found[label] |= compute(ImageComparison(held_out, each, others, seed))
        found[label]["num_samples"] = len(rows)
    return found


def _warnings(photos: RealPhotos, gans: Mapping[str, EvaluatedGan], options: GanEvaluationOptions) -> list[str]:
    found, dim = [], photos.features.shape[1]
    if options.num_samples < 2 * dim:
        found.append(
            f"FID is biased upwards where there are few images: {options.num_samples} are fewer than twice the {dim} "
            "features. Compare it only with FIDs of as many images; KID has no such bias."
        )
    scales = num_scales(photos.dataset.manifest.image_size)
    if scales < len(WEIGHTS):
        found.append(
            f"MS-SSIM has {scales} of its 5 scales on images of this size. Compare diversity only at the same size."
        )
    unknown = sorted({name for gan in gans.values() for name in gan.categories} - set(photos.classifier.categories))
    if unknown:
        found.append(
            f"Category accuracy leaves out {len(unknown)} categories with fewer than {MIN_PHOTOS} "
            f"photos, which the classifier does not know: {', '.join(unknown)}."
        )
    return found
