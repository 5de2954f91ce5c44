"""The paper's table: preference, realism and diversity of designs, beside real items and random images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.options import DesignOptions, check_weight
from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.designs.baselines import (
    RANDOM_G,
    RETRIEVED,
    PreferenceScale,
    Requests,
    ScoredImages,
    check_second_run,
    generate_designs,
    random_images_and_best,
    real_images,
    sample_requests,
    score_images,
)
from tfdvbpr.evaluation.generative.features import DEFAULT_EXTRACTOR, check_extractor
from tfdvbpr.evaluation.generative.metrics import (
    METRICS,
    column_of,
    overall_metrics,
)
from tfdvbpr.evaluation.generative.photos import (
    ImageComparison,
    ImageSet,
    RealPhotos,
    gan_category_ids,
    merged_categories,
    photo_names,
)
from tfdvbpr.evaluation.ranking.significance import wilcoxon
from tfdvbpr.run import GanRun, Run

CATEGORIES_PER_USER = 2
MIN_ITEMS = 20  # categories with fewer real items are left out


@dataclass(frozen=True)
class DesignEvaluationOptions:
    """How designs are evaluated.

    Attributes:
        num_users: users, sampled at random.
        realism_weights: values of η.
        design: starts and steps.
        extractor: a name in FEATURE_EXTRACTORS.
        seed: of users, random items, latents and starts.
    """

    num_users: int = 500
    realism_weights: tuple[float, ...] = (0.0, 0.2, 0.5, 1.0)
    design: DesignOptions = field(default_factory=lambda: DesignOptions(num_starts=8))
    extractor: str = DEFAULT_EXTRACTOR
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("num_users", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"`{name}` must be at least {least}. Received {getattr(self, name)}.")
        if not self.realism_weights:
            raise ConfigError("`realism_weights` must name at least one. Received none.")
        for weight in self.realism_weights:
            check_weight("realism_weights", weight)


@dataclass(frozen=True)
class DesignEvaluation:
    """The table.

    Attributes:
        photos: the real ones.
        options: how designs were evaluated.
        run: the recommender that was ascended.
        gan_run: the GAN.
        second_run: the recommender that was not ascended, or None.
        requests: users and categories.
        images: images and scores by the row's label.
        rows: metrics by the row's label.
        ghostliness: of each image by the row's label, float64 [R]; see `ghostliness`.
        tests: designs against baselines, one a design row, baseline and recommender.
        num_photos: photos that FID and KID compare with: those of the requested categories.
    """

    photos: RealPhotos
    options: DesignEvaluationOptions
    run: Run
    gan_run: GanRun
    second_run: Run | None
    requests: Requests
    images: dict[str, ScoredImages]
    rows: dict[str, dict[str, Any]]
    ghostliness: dict[str, npt.NDArray[np.float64]]
    tests: list[dict[str, Any]]
    num_photos: int

    @property
    def default_designs(self) -> str:
        """The label of the row of designs whose η is nearest the default."""
        weights = self.options.realism_weights
        nearest = int(np.argmin([abs(weight - DesignOptions().realism_weight) for weight in weights]))
        return [label for label in self.images if label.startswith("designs")][nearest]


def compare_designs(
    run: Run,
    gan_run: GanRun,
    *,
    second_run: Run | None = None,
    dataset: PreparedDataset | None = None,
    options: DesignEvaluationOptions | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DesignEvaluation:
    """Generates designs for users and compares them with baselines for the same requests, writing no table.

    Every row of the table has one image a request, so the metrics of all rows are of one size. The second recommender
    shows whether the gains are more than noise that the first one alone prefers. Arguments and errors are those of
    `tfdvbpr.evaluate_designs`; `cache` is a folder for finished blocks of designs, with which an interrupted call is
    resumed.
    """
    options = options or DesignEvaluationOptions()
    check_extractor(options.extractor, [gan_run])
    designer = Designer(run, gan_run, options=options.design)
    if second_run is not None:
        check_second_run(run, second_run)
        Designer(second_run, gan_run)
    dataset = dataset or gan_run.open_dataset()
    names = photo_names(gan_run, gan_category_ids(gan_run, dataset))
    requests = sample_requests(
        run,
        set(names) & set(gan_run.manifest.categories) & set(dataset.manifest.categories),
        num_users=options.num_users,
        categories_per_user=CATEGORIES_PER_USER,
        min_items=MIN_ITEMS,
        seed=options.seed,
    )
    scale = PreferenceScale.of(run, requests)
    second_scale = None if second_run is None else PreferenceScale.of(second_run, requests)
    photos = RealPhotos.of(dataset, options.extractor, progress=progress)
    real = real_images(dataset, run, requests, scale, seed=options.seed)
    retrieved = {RETRIEVED: real.pop(RETRIEVED)}
    images = (
        real
        | random_images_and_best(designer, requests, seed=options.seed)
        | retrieved
        | generate_designs(
            designer,
            requests,
            realism_weights=options.realism_weights,
            seed=options.seed,
            cache=cache,
            progress=progress,
        )
    )
    scored = score_images(images, requests, run, second_run, designer)
    compared = np.where(np.isin(names, list(set(requests.categories))), names, "")

    def metrics(label: str, row: ScoredImages) -> dict[str, Any]:
        everything = np.ones(len(requests), bool)
        categories = np.array(requests.categories)
        generated = ImageSet(
            row.images, photos.space.extract(row.images), categories, everything, merged_categories(gan_run)
        )
        found = {
            "preference": float(row.preferences.mean()),
            "preference_standardised": float(scale.standardise(row.preferences).mean()),
        }
        if second_scale is not None and row.second_preferences is not None:
            found["second_preference_standardised"] = float(second_scale.standardise(row.second_preferences).mean())
        found["realism"] = float(row.realism.mean())
        found["realism_penalty"] = float(((row.realism - 1.0) ** 2).mean())
        comparison = ImageComparison(generated, photos, compared, options.seed)
        ghosts[label] = comparison.ghostliness
        return {**found, **overall_metrics(comparison)}

    ghosts: dict[str, npt.NDArray[np.float64]] = {}
    rows = {label: metrics(label, row) for label, row in scored.items()}
    fid = column_of("fid", METRICS["fid"], options.extractor)
    tests = [
        {**test, "fid_ratio": rows[test["designs"]][fid] / rows[test["baseline"]][fid]}
        for test in _tests(scored, requests, scale, second_scale)
    ]
    num_photos = int((compared != "").sum())
    return DesignEvaluation(
        photos, options, run, gan_run, second_run, requests, scored, rows, ghosts, tests, num_photos
    )


def _tests(
    scored: dict[str, ScoredImages],
    requests: Requests,
    scale: PreferenceScale,
    second_scale: PreferenceScale | None,
) -> list[dict[str, Any]]:
    """Each row of designs against three baselines, under each recommender, over users."""
    standardised: dict[str, dict[str, Any]] = {
        "ascended": {label: scale.standardise(row.preferences) for label, row in scored.items()}
    }
    if second_scale is not None:
        standardised["second"] = {
            label: second_scale.standardise(row.second_preferences)
            for label, row in scored.items()
            if row.second_preferences is not None
        }
    best_of = next(label for label in scored if label.startswith("best of"))
    found = []
    for label in (label for label in scored if label.startswith("designs")):
        for baseline in (RETRIEVED, RANDOM_G, best_of):
            for recommender, values in standardised.items():
                designs, others = (requests.mean_by_user(values[name]) for name in (label, baseline))
                test = wilcoxon(designs, others)
                found.append(
                    {
                        "designs": label,
                        "baseline": baseline,
                        "recommender": recommender,
                        "users": len(designs),
                        "share_of_users": float((designs > others).mean()),
                        "mean_difference": float((designs - others).mean()),
                        "p_value": test.p_value,
                        "direction": test.direction,
                    }
                )
    return found
