"""What GANs draw, held against the real photos, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError, DatasetError
from tfdvbpr.evaluation.generative.category_classifier import ClassifierOptions
from tfdvbpr.evaluation.generative.drawing import Samples, draw
from tfdvbpr.evaluation.generative.extractors import DEFAULT, check_extractor
from tfdvbpr.evaluation.generative.figures import Judged, category_figures, copies, overall_figures
from tfdvbpr.evaluation.generative.photos import RealPhotos, drawn_categories, drawn_names
from tfdvbpr.evaluation.generative.similarity import num_scales
from tfdvbpr.run import GanRun

REAL = "real photos (held out)"


@dataclass(frozen=True)
class GanJudgingOptions:
    """How GANs are judged.

    Attributes:
        extractor: a name in EXTRACTORS.
        num_samples: pictures in the photos' mix of categories, for the figures of all together.
        samples_per_category: pictures of each category at least, for the figures of a category.
        seed: of latents, subsets and pairs.
        classifier: how the category classifier is trained.
    """

    extractor: str = DEFAULT
    num_samples: int = 5000
    samples_per_category: int = 50
    seed: int = 0
    classifier: ClassifierOptions = field(default_factory=ClassifierOptions)

    def __post_init__(self) -> None:
        for name, least in (("num_samples", 10), ("samples_per_category", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"`{name}` must be at least {least}. Received {getattr(self, name)}.")


@dataclass(frozen=True)
class JudgedGan:
    """One run's pictures and figures.

    Attributes:
        run: the GAN.
        samples: what it drew.
        judged: the same with features and names of categories.
        figures: of all together, by name.
        categories: figures of each category, by its name.
    """

    run: GanRun
    samples: Samples
    judged: Judged
    figures: dict[str, Any]
    categories: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class GanJudgement:
    """Several GANs on one dataset.

    Attributes:
        photos: the real ones.
        options: how they were judged.
        gans: by label, in the order given.
        real: figures of held-out photos against the others, for what the best could reach.
        warnings: sentences about figures that say little.
    """

    photos: RealPhotos
    options: GanJudgingOptions
    gans: dict[str, JudgedGan]
    real: dict[str, Any]
    warnings: list[str]


def judge_gans(
    gan_runs: Mapping[str, GanRun],
    dataset: PreparedDataset,
    *,
    options: GanJudgingOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
    told: Callable[[str], None] = lambda line: None,
) -> GanJudgement:
    """Draws pictures with each GAN and holds them against the dataset's photos.

    FID, KID, precision and recall go against all photos of the categories every GAN draws, those of the training. The
    category classifier has learnt from four fifths of them; its accuracy on the others is told beside that of the
    pictures. For memorisation the distances of those others are what new photos have.

    Args:
        gan_runs: by label.
        dataset: with the photos they were trained on.
        options: see `GanJudgingOptions`.
        progress: called with (done, in all) of whatever takes long.
        told: takes lines for people.

    Raises:
        ConfigError: if the extractor is unknown, its weights cannot be had, or a discriminator looked through it.
        DatasetError: if the dataset's pictures or categories are not those a GAN draws.
    """
    options = options or GanJudgingOptions()
    if not gan_runs:
        raise ConfigError("`gan_runs` must name at least one. Received none.")
    check_extractor(options.extractor, gan_runs.values())
    categories, left_out = common_categories(gan_runs, dataset)
    photos = RealPhotos.see(
        dataset, options.extractor, classifier_options=options.classifier, progress=progress, told=told
    )
    gans = {}
    for label, run in gan_runs.items():
        told(f"Drawing and judging {label}.")
        gans[label] = _judge(run, photos, categories[label], options, progress)
    warnings = [*left_out, *_warnings(photos, gans, options)]
    return GanJudgement(photos, options, gans, _of_held_out(photos, options), warnings)


def common_categories(
    gan_runs: Mapping[str, GanRun], dataset: PreparedDataset
) -> tuple[dict[str, npt.NDArray[np.int64]], list[str]]:
    """Each photo's category as each GAN counts them, int64 [num_items], by label; -1 unless every GAN draws it.

    Runs that were trained on other categories are so judged on the same photos.

    Returns:
        The categories, and a sentence if photos are left out.

    Raises:
        DatasetError: as of `drawn_categories`, or if no category is drawn by all.
    """
    drawn = {label: drawn_categories(run, dataset) for label, run in gan_runs.items()}
    common = np.all([ids >= 0 for ids in drawn.values()], axis=0)
    if not common.any():
        raise DatasetError(
            f"Runs must draw a category in common to be judged together. {', '.join(gan_runs)} do not. "
            "Judge them one by one."
        )
    names = sorted(set(np.array(dataset.items.table["category"])[~common].tolist()))
    left_out = (
        f"{int((~common).sum())} photos of {len(names)} categories that not every run draws are left out: "
        f"{', '.join(names)}."
    )
    categories = {label: np.where(common, ids, -1) for label, ids in drawn.items()}
    return categories, [left_out] if names else []


def labels(gan_runs: Sequence[GanRun]) -> dict[str, GanRun]:
    """Runs by the names of their folders, numbered where two are the same."""
    found: dict[str, GanRun] = {}
    for run in gan_runs:
        name, number = run.path.resolve().name, 2
        while name in found:
            name, number = f"{run.path.resolve().name}-{number}", number + 1
        found[name] = run
    return found


def _judge(
    run: GanRun,
    photos: RealPhotos,
    categories: npt.NDArray[np.int64],
    options: GanJudgingOptions,
    progress: Callable[[int, int], None] | None,
) -> JudgedGan:
    samples = draw(
        run,
        categories,
        num_samples=options.num_samples,
        least=options.samples_per_category,
        seed=options.seed,
    )
    names = np.array([*run.manifest.categories, ""])  # the last is what -1 picks
    judged = Judged(
        samples.images,
        photos.seen(samples.images, progress),
        names[samples.category_ids],
        samples.in_proportion,
        drawn_names(run),
    )
    by_category = category_figures(photos, judged, names[categories], seed=options.seed)
    figures = overall_figures(photos, judged, np.flatnonzero(categories >= 0), seed=options.seed)
    figures |= copies(photos, judged)
    figures["diversity_1_ms_ssim"] = _mean(by_category, "diversity_1_ms_ssim")
    figures["photos_diversity_1_ms_ssim"] = _mean(by_category, "photos_diversity_1_ms_ssim")
    figures["num_samples"] = int(samples.in_proportion.sum())
    figures["training_seconds"] = run.manifest.training_seconds
    return JudgedGan(run, samples, judged, figures, by_category)


def _of_held_out(photos: RealPhotos, options: GanJudgingOptions) -> dict[str, Any]:
    """Held-out photos in the place of samples, against the photos that were not held out."""
    others, rows = photos.sides
    items = photos.dataset.items
    names = np.array(items.categories)[items.category_ids[rows]]
    judged = Judged(photos.dataset.images.read(rows), photos.features[rows], names, np.ones(len(rows), bool))
    figures = overall_figures(photos, judged, others, seed=options.seed)
    every = np.array(items.categories)[items.category_ids]
    by_category = category_figures(photos, judged, every, seed=options.seed)
    figures["diversity_1_ms_ssim"] = _mean(by_category, "diversity_1_ms_ssim")
    figures["num_samples"] = len(rows)
    return figures


def _mean(by_category: dict[str, dict[str, Any]], figure: str) -> float | None:
    """Over the categories that have the figure, each counting the same."""
    values = [row[figure] for row in by_category.values() if row[figure] is not None]
    return float(np.mean(values)) if values else None


def _warnings(photos: RealPhotos, gans: Mapping[str, JudgedGan], options: GanJudgingOptions) -> list[str]:
    found, dim = [], photos.features.shape[1]
    if options.num_samples < 2 * dim:
        found.append(
            f"FID is biased upwards where there are few pictures: {options.num_samples} are fewer than twice the {dim} "
            "features. Compare it only between figures of the same number; KID has no such bias."
        )
    scales = num_scales(photos.dataset.manifest.image_size)
    if scales < 5:
        found.append(
            f"MS-SSIM has {scales} of its 5 scales on pictures so small; compare diversity only at the same size."
        )
    unknown = sorted({name for gan in gans.values() for name in gan.categories} - set(photos.classifier.categories))
    if unknown:
        found.append(
            f"The classifier does not know {len(unknown)} categories with fewer than {options.classifier.min_photos} "
            f"photos, which category accuracy leaves out: {', '.join(unknown)}."
        )
    return found
