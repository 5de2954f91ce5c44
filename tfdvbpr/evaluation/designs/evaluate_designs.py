"""The paper's table: preference, realism and diversity of designs, beside real items and random images."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.grids import image_grid
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.options import DesignOptions, check_weight
from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.designs.baselines import (
    RANDOM_G,
    RANDOM_REAL,
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
from tfdvbpr.evaluation.generative.gan_report import metric_notes
from tfdvbpr.evaluation.generative.metrics import (
    METRICS,
    column_of,
    format_number,
    metric_text,
    overall_metrics,
    titled_metrics,
)
from tfdvbpr.evaluation.generative.photos import (
    ImageComparison,
    ImageSet,
    RealPhotos,
    gan_category_ids,
    merged_categories,
    photo_names,
)
from tfdvbpr.evaluation.ranking.comparison import markdown_table
from tfdvbpr.evaluation.ranking.significance import wilcoxon
from tfdvbpr.files import write_csv
from tfdvbpr.run import GanRun, Run
from tfdvbpr.text import markdown

TABLE_NAME = "designs.md"
COLUMNS = {
    "preference": "θᵀΦ of the recommender that was ascended",
    "preference_standardised": "the same in standard deviations from the mean real item of the category, for the user",
    "second_preference_standardised": "the same under a second recommender, which was not ascended",
    "realism": "D̂, 1 for what the discriminator classifies as real",
    "realism_penalty": "mean (D̂ − 1)²",
}
CATEGORIES_PER_USER = 2
MIN_ITEMS = 20  # categories with fewer real items are left out
_GRID_ROWS = 16
_GHOST_ROWS, _GHOST_COLUMNS = 4, 12


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


def table_rows(evaluation: DesignEvaluation) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text: the paper's table, a kind of images a row."""
    first = next(iter(evaluation.rows.values()))
    own = [name for name in COLUMNS if name in first]
    titled = {name: each for name, each in titled_metrics(evaluation.options.extractor).items() if name in first}
    rows = [
        [
            label,
            *(format_number(row[name]) for name in own),
            *(metric_text(metric, row, name) for name, (_, metric) in titled.items()),
        ]
        for label, row in evaluation.rows.items()
    ]
    return ["", *own, *(title for title, _ in titled.values())], rows


def comparison_rows(evaluation: DesignEvaluation) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text: designs against baselines."""
    headings = ["designs", "against", "by", "users won", "mean difference (sd)", "p", "FID ratio"]
    rows = [
        [
            test["designs"],
            test["baseline"],
            f"{test['recommender']} recommender",
            f"{test['share_of_users']:.1%}",
            f"{test['mean_difference']:+.3f}",
            f"{test['p_value']:.1e}",
            f"{test['fid_ratio']:.2f}",
        ]
        for test in evaluation.tests
    ]
    return headings, rows


def notes(evaluation: DesignEvaluation) -> str:
    """How the metrics were computed, in words."""
    photos, options, requests = evaluation.photos, evaluation.options, evaluation.requests
    design, config = options.design, evaluation.run.config
    second, dataset = evaluation.second_run, markdown(photos.dataset.manifest.name)
    runs = f"The ascended recommender: {config.backbone}, seed {config.seed}."
    if second is not None:
        runs += f" The second one, which was not ascended: {second.config.backbone}, seed {second.config.seed}."
    return (
        f"{dataset}: {len(requests)} requests of {len(np.unique(requests.users))} users, "
        f"each in up to {CATEGORIES_PER_USER} categories in which the user has the most training actions; one image a "
        f"request in every row. {runs} The metrics compare with {evaluation.num_photos} photos, those of the requested "
        f"categories; FID of {len(requests)} images compares only within this table. The category classifier's "
        f"accuracy is {photos.classifier.accuracy:.1%} on held-out photos. Designs: best of {design.num_starts} starts "
        f"by the objective, which are the most preferred of {design.num_candidates} random latents; {design.num_steps} "
        f"steps of {design.learning_rate:g} that keep the latents' norm. Top "
        "retrieved: the best real item of the category, bought or not. Tests: Wilcoxon's signed-rank test over users, "
        "two-sided, of a user's mean standardised preference."
    )


def write_design_report(evaluation: DesignEvaluation, folder: Path) -> None:
    """Writes designs.json, .csv and .md, tests.csv, designs.png and ghosts.png into a folder."""
    (folder / "designs.json").write_text(json.dumps(_as_dict(evaluation), indent=2) + "\n", encoding="utf-8")
    rows: list[dict[str, Any]] = [{"images": label, **row} for label, row in evaluation.rows.items()]
    write_csv(pl.DataFrame(rows, infer_schema_length=None), folder / "designs.csv")
    write_csv(pl.DataFrame(evaluation.tests, infer_schema_length=None), folder / "tests.csv")
    columns = "\n".join(f"- `{name}`: {text}." for name, text in COLUMNS.items())
    tables = [markdown_table(*table_rows(evaluation)), markdown_table(*comparison_rows(evaluation))]
    parts = [*tables, columns + "\n" + metric_notes(evaluation.photos), notes(evaluation)]
    (folder / TABLE_NAME).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    _write_grid(evaluation, folder / "designs.png")
    _write_ghosts(evaluation, folder / "ghosts.png")


def _as_dict(evaluation: DesignEvaluation) -> dict[str, Any]:
    return {
        "dataset": evaluation.photos.dataset.manifest.name,
        "run": str(evaluation.run.path),
        "gan_run": str(evaluation.gan_run.path),
        "second_run": None if evaluation.second_run is None else str(evaluation.second_run.path),
        "options": asdict(evaluation.options),
        "num_requests": len(evaluation.requests),
        "num_photos": evaluation.num_photos,
        "classifier_accuracy": evaluation.photos.classifier.accuracy,
        "rows": evaluation.rows,
        "tests": evaluation.tests,
    }


def _write_grid(evaluation: DesignEvaluation, path: Path) -> None:
    """A request a row, a row of the table a column; below each image θᵀΦ of the recommender that was ascended."""
    requests, images = evaluation.requests, evaluation.images
    shown = range(min(_GRID_ROWS, len(requests)))
    user_ids = evaluation.run.user_ids
    image_grid(
        [[row.images[number] for row in images.values()] for number in shown],
        title="Preference below each image",
        column_titles=[_short(label) for label in images],
        row_titles=[f"{user_ids[requests.users[number]]} {requests.categories[number]}" for number in shown],
        captions=[[f"{row.preferences[number]:+.2f}" for row in images.values()] for number in shown],
        cell_height=128,
    ).save(path)


def _write_ghosts(evaluation: DesignEvaluation, path: Path) -> None:
    """The designs that glow or are washed out most, the worst first; below each image by how much."""
    label = evaluation.default_designs
    images, ghostliness = evaluation.images[label].images, evaluation.ghostliness[label]
    worst = np.argsort(-ghostliness, kind="stable")[: _GHOST_ROWS * _GHOST_COLUMNS]
    rows = [worst[start : start + _GHOST_COLUMNS] for start in range(0, len(worst), _GHOST_COLUMNS)]
    image_grid(
        [[images[number] for number in row] for row in rows],
        title=f"{_short(label)}: the {len(worst)} of {len(images)} that glow or are washed out most; above 1 a ghost",
        captions=[[f"{ghostliness[number]:.2f}" for number in row] for row in rows],
        cell_height=128,
    ).save(path)


def _short(label: str) -> str:
    """A row's name above a narrow column, in letters that the font has."""
    words = {RANDOM_REAL: "real", RETRIEVED: "retrieved", "designs η=": "eta "}
    if label != RANDOM_G:
        words[f" {RANDOM_G}"] = ""
    for long, short in words.items():
        label = label.replace(long, short)
    return label
