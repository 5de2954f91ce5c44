"""The paper's table: what designs are worth, how real and how diverse they are, beside what they compete with."""

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
    Arm,
    design_arms,
    random_arms,
    real_pictures,
    scored,
)
from tfdvbpr.evaluation.designs.requests import Requests, Standard, check_second, most_bought, over_users, standard_of
from tfdvbpr.evaluation.generative.category_classifier import ClassifierOptions
from tfdvbpr.evaluation.generative.extractors import DEFAULT, check_extractor
from tfdvbpr.evaluation.generative.figures import Judged, category_figures, overall_figures
from tfdvbpr.evaluation.generative.photos import RealPhotos, drawn_categories, drawn_names
from tfdvbpr.evaluation.ranking.significance import wilcoxon
from tfdvbpr.run import GanRun, Run


@dataclass(frozen=True)
class DesignJudgingOptions:
    """How designs are judged.

    Attributes:
        num_users: users drawn at random.
        categories_per_user: requests a user, in her most bought categories.
        realism_weights: values of η.
        least_items: categories with fewer real items are left out.
        design: starts and steps.
        extractor: a name in EXTRACTORS.
        seed: of users, random items, latents and starts.
        classifier: how the category classifier is trained.
    """

    num_users: int = 500
    categories_per_user: int = 2
    realism_weights: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0)
    least_items: int = 20
    design: DesignOptions = field(default_factory=lambda: DesignOptions(num_starts=8))
    extractor: str = DEFAULT
    seed: int = 0
    classifier: ClassifierOptions = field(default_factory=ClassifierOptions)

    def __post_init__(self) -> None:
        for name, least in (("num_users", 2), ("categories_per_user", 1), ("least_items", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"`{name}` must be at least {least}. Received {getattr(self, name)}.")
        if not self.realism_weights:
            raise ConfigError("`realism_weights` must name at least one. Received none.")
        for weight in self.realism_weights:
            check_weight("realism_weights", weight)


@dataclass(frozen=True)
class DesignJudgement:
    """The table.

    Attributes:
        photos: the real ones.
        options: how designs were judged.
        run: the recommender that was ascended.
        gan_run: the GAN.
        second: the recommender that no ascent has seen, or None.
        requests: who asked for what.
        arms: pictures and scores by the row's label.
        rows: figures by the row's label.
        tests: designs against their rivals, one a design row and rival.
        num_photos: photos that FID and KID go against: those of the requested categories.
    """

    photos: RealPhotos
    options: DesignJudgingOptions
    run: Run
    gan_run: GanRun
    second: Run | None
    requests: Requests
    arms: dict[str, Arm]
    rows: dict[str, dict[str, Any]]
    tests: list[dict[str, Any]]
    num_photos: int


def judge_designs(
    run: Run,
    gan_run: GanRun,
    *,
    second_run: Run | None = None,
    dataset: PreparedDataset | None = None,
    options: DesignJudgingOptions | None = None,
    keep: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    told: Callable[[str], None] = lambda line: None,
) -> DesignJudgement:
    """Designs for users in their most bought categories, beside real items and random pictures of the same requests.

    Every row of the table has one picture a request, so its figures are of one size.

    Args:
        run: the recommender that is ascended.
        gan_run: the GAN.
        second_run: one trained with another seed and backbone on the same dataset: are the gains more than noise that
            only the first one likes?
        dataset: the GAN's; left out, where it lay when the GAN was trained.
        options: see `DesignJudgingOptions`.
        keep: a folder for finished blocks of designs, from which a call that was interrupted goes on.
        progress: called with (done, in all) of whatever takes long.
        told: takes lines for people.

    Raises:
        ConfigError: if the extractor is unknown, its weights cannot be had, or the discriminator looked through it.
        RunError: if a run does not learn from pixels, or the second is of another dataset.
        DatasetError: if the dataset's pictures or categories are not those the GAN draws.
    """
    options = options or DesignJudgingOptions()
    check_extractor(options.extractor, [gan_run])
    designer = Designer(run, gan_run)
    if second_run is not None:
        check_second(run, second_run)
        Designer(second_run, gan_run)
    dataset = dataset or gan_run.open_dataset()
    names = np.array([*gan_run.manifest.categories, ""])[drawn_categories(gan_run, dataset)]
    requests = most_bought(
        run,
        set(names) & set(gan_run.manifest.categories) & set(dataset.manifest.categories),
        num_users=options.num_users,
        categories_per_user=options.categories_per_user,
        least_items=options.least_items,
        seed=options.seed,
    )
    standard = standard_of(run, requests)
    photos = RealPhotos.see(
        dataset, options.extractor, classifier_options=options.classifier, progress=progress, told=told
    )
    starts = options.design.num_starts
    real = real_pictures(dataset, run, requests, standard, seed=options.seed)
    retrieved = {RETRIEVED: real.pop(RETRIEVED)}
    pictures = (
        real
        | random_arms(gan_run, run, requests, num_starts=starts, seed=options.seed)
        | retrieved
        | design_arms(
            run,
            gan_run,
            requests,
            options=options.design,
            realism_weights=options.realism_weights,
            seed=options.seed,
            keep=keep,
            progress=progress,
            told=told,
        )
    )
    arms = scored(pictures, requests, run, second_run, designer)
    second = None if second_run is None else standard_of(second_run, requests)
    asked = np.flatnonzero(np.isin(names, list(set(requests.categories))))
    rows = {
        label: _row(arm, requests, photos, standard, second, names, asked, options, drawn_names(gan_run))
        for label, arm in arms.items()
    }
    tests = [
        test
        for label in arms
        if label.startswith("designs")
        for test in _tests(label, arms, requests, standard, second, rows, options.extractor)
    ]
    return DesignJudgement(
        photos, options, run, gan_run, second_run, requests, arms, rows, tests, num_photos=len(asked)
    )


def _row(
    arm: Arm,
    requests: Requests,
    photos: RealPhotos,
    standard: Standard,
    second: Standard | None,
    names: npt.NDArray[np.str_],
    asked: npt.NDArray[np.int64],
    options: DesignJudgingOptions,
    drawn_as: dict[str, str],
) -> dict[str, Any]:
    """The figures of one row of the table."""
    everything = np.ones(len(requests), bool)
    judged = Judged(arm.images, photos.seen(arm.images), np.array(requests.categories), everything, drawn_as)
    row: dict[str, Any] = {
        "preference": float(arm.preferences.mean()),
        "preference_standardised": float(standard.standardised(arm.preferences).mean()),
    }
    if second is not None and arm.second is not None:
        row["second_preference_standardised"] = float(second.standardised(arm.second).mean())
    row |= {"realism": float(arm.realism.mean()), "realism_penalty": float(((arm.realism - 1.0) ** 2).mean())}
    row |= overall_figures(photos, judged, asked, seed=options.seed)
    found = category_figures(photos, judged, names, seed=options.seed).values()
    diversity = [figures["diversity_1_ms_ssim"] for figures in found if figures["diversity_1_ms_ssim"] is not None]
    return {**row, "diversity_1_ms_ssim": float(np.mean(diversity)) if diversity else None}


def _tests(
    label: str,
    arms: dict[str, Arm],
    requests: Requests,
    standard: Standard,
    second: Standard | None,
    rows: dict[str, dict[str, Any]],
    extractor: str,
) -> list[dict[str, Any]]:
    """A design row against the best real item and against random pictures, under each recommender, over users."""
    found = []
    best_of = next(name for name in arms if name.startswith("best of"))
    for rival in (RETRIEVED, RANDOM_G, best_of):
        for judge, measure in (("ascended", standard), ("second", second)):
            mine, theirs = (
                arms[name].preferences if judge == "ascended" else arms[name].second for name in (label, rival)
            )
            if measure is None or mine is None or theirs is None:
                continue
            ours = over_users(requests, measure.standardised(mine))
            others = over_users(requests, measure.standardised(theirs))
            test = wilcoxon(ours, others)
            found.append(
                {
                    "designs": label,
                    "rival": rival,
                    "recommender": judge,
                    "users": len(ours),
                    "share_of_users": float((ours > others).mean()),
                    "mean_difference": float((ours - others).mean()),
                    "p_value": test.p_value,
                    "direction": test.direction,
                    "fid_ratio": rows[label][f"fid_{extractor}"] / rows[rival][f"fid_{extractor}"],
                }
            )
    return found
