"""Attacks items of a run, and writes what it brought: figures, a row an item, photos before and after."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.grids import image_grid
from tfdvbpr.data.images.similarity import ssim
from tfdvbpr.designing.audience import check_learns_from_pixels
from tfdvbpr.designing.nearest_items import EXTRACTOR, RealItems
from tfdvbpr.designing.optimize.objective import embed_images
from tfdvbpr.errors import ConfigError, check_choice
from tfdvbpr.evaluation.attacks.defences import DEFENCES
from tfdvbpr.evaluation.attacks.exposure import Exposure, ItemRanks
from tfdvbpr.evaluation.attacks.goals import GOALS, Target
from tfdvbpr.evaluation.attacks.perturbations import ATTACKS, perturbed
from tfdvbpr.evaluation.designs.baselines import check_second_run
from tfdvbpr.files import write_csv
from tfdvbpr.run import Run

_CHUNK = 32
_GOAL_USERS = 1_024
_SHOWN, _ITEMS_A_ROW, _TIMES = 12, 3, 10
_PAIRS = 200  # of photos, for their mean distance
_SSIM_WINDOW = 7
RUN, SECOND = "attacked run", "second run"
AS_IS, CLEAN, NOISE, ATTACKED = "as is", "photo", "noise", "attacked"

Images = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int32]


@dataclass(frozen=True)
class AttackOptions:
    """How items are attacked.

    Attributes:
        attack: a name in ATTACKS.
        goal: a name in GOALS.
        epsilon: the largest change of a pixel, as a share of its range.
        target_category: of the goal `resemblance`; None for the popular items of all categories.
        num_users: users whose lists count, a random sample where there are more.
        k: length of a list.
        seed: of users, of random starts and of noise.
    """

    attack: str = "pgd"
    goal: str = "promotion"
    epsilon: float = 4 / 255
    target_category: str | None = None
    num_users: int = 5_000
    k: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("attack", self.attack, ATTACKS)
        check_choice("goal", self.goal, GOALS)
        if not 1 / 255 <= self.epsilon <= 1.0:
            raise ConfigError(f"`epsilon` must be at least 1/255 and at most 1. Received {self.epsilon}.")
        for name, least in (("num_users", 1), ("k", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"`{name}` must be at least {least}. Received {getattr(self, name)}.")


@dataclass(frozen=True)
class AttackEvaluation:
    """Attacked items, and their exposure under each recommender and behind each defence.

    Attributes:
        options: how they were attacked.
        item_ids: N items.
        before: uint8 [N, H, W, 3], their photos.
        after: uint8 [N, H, W, 3], the photos after the attack.
        exposures: by (recommender, defence, photos): RUN or SECOND; AS_IS or a name in DEFENCES; CLEAN, NOISE (random
            noise of the same size) or ATTACKED.
        figures: what attack.json holds.
        items: a row an item.
    """

    options: AttackOptions
    item_ids: list[str]
    before: Images
    after: Images
    exposures: dict[tuple[str, str, str], Exposure]
    figures: dict[str, Any]
    items: pl.DataFrame


def attack_items(
    run: Run,
    dataset: PreparedDataset,
    items: Rows,
    *,
    options: AttackOptions,
    second_run: Run | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> AttackEvaluation:
    """Attacks photos of items and ranks them in users' lists; arguments and errors are those of `tfdvbpr.attack`.

    Args:
        items: int32 [N], rows of the catalogue, at least one.
        progress: called with (steps done, in all).
    """
    runs = {RUN: run} | ({} if second_run is None else {SECOND: second_run})
    for each in runs.values():
        check_learns_from_pixels(each)
    if second_run is not None:
        check_second_run(run, second_run)
    if options.target_category is not None:
        run.items.category_id(options.target_category)
    random = np.random.default_rng(options.seed)
    count = min(options.num_users, len(run.user_ids))
    users = np.sort(random.choice(len(run.user_ids), count, replace=False)).astype(np.int32)
    ranks = {name: ItemRanks(each, items, users, k=options.k) for name, each in runs.items()}
    steps = 1 + len(runs) * (1 + len(DEFENCES)) * 3
    before = dataset.images.read(items)
    after = _attacked(run, before, users, ranks[RUN], options)
    progress(1, steps)
    most = int(255 * options.epsilon + 1e-6)
    noise = random.integers(-most, most, before.shape, endpoint=True)
    photos = {CLEAN: before, NOISE: (before + noise).clip(0, 255).astype(np.uint8), ATTACKED: after}
    defences: dict[str, Callable[[Images], Images]] = {AS_IS: lambda images: images, **DEFENCES}
    exposures: dict[tuple[str, str, str], Exposure] = {}
    for name, each in runs.items():
        for defence, defended in defences.items():
            for kind, images in photos.items():
                exposures[name, defence, kind] = ranks[name].exposure(embed_images(each, defended(images)))
                progress(1 + len(exposures), steps)
    table = _item_table(dataset, items, before, after, exposures)
    figures = {
        "run": str(run.path),
        "second_run": None if second_run is None else str(second_run.path),
        "options": asdict(options),
        "num_items": len(items),
        "num_users": len(users),
        "feature_space": EXTRACTOR,
        "means": {
            name: float(table[name].to_numpy().mean())
            for name in ("psnr", "ssim", "feature_distance", "largest_change")
        },
        "exposures": [_summary(key, each) for key, each in exposures.items()],
        "detection_auc": _detection(exposures) if second_run is not None else None,
    }
    return AttackEvaluation(options, table["item_id"].to_list(), before, after, exposures, figures, table)


def write_attack(evaluation: AttackEvaluation, folder: Path) -> None:
    """Writes attack.json, items.csv, attack.png (before, after, difference × 10) and every photo after the attack."""
    (folder / "attack.json").write_text(json.dumps(evaluation.figures, indent=2) + "\n", encoding="utf-8")
    write_csv(evaluation.items, folder / "items.csv")
    for number, image in enumerate(evaluation.after):
        Image.fromarray(image).save(folder / f"item_{number + 1:03d}.png")
    before, after = (evaluation.exposures[RUN, AS_IS, kind].mean_rank for kind in (CLEAN, ATTACKED))
    shown = [int(row) for row in np.argsort(after - before, kind="stable")[:_SHOWN]]
    triples, captions = [], []
    for row in shown:
        change = evaluation.after[row].astype(np.int64) - evaluation.before[row]
        magnified = (128 + _TIMES * change).clip(0, 255).astype(np.uint8)
        triples.append([evaluation.before[row], evaluation.after[row], magnified])
        captions.append([f"{evaluation.item_ids[row][:12]}: {before[row]:,.0f}", f"{after[row]:,.0f}", ""])
    pairs = [slice(start, start + _ITEMS_A_ROW) for start in range(0, len(shown), _ITEMS_A_ROW)]
    image_grid(
        [list(chain(*triples[pair])) for pair in pairs],
        title=f"The {len(shown)} items that rise most, with their mean ranks; 1 is the best",
        column_titles=["photo", "attacked", f"{_TIMES} times the change"] * min(_ITEMS_A_ROW, len(shown)),
        captions=[list(chain(*captions[pair])) for pair in pairs],
        cell_height=160,
    ).save(folder / "attack.png")


def psnr(first: Images, second: Images) -> npt.NDArray[np.float64]:
    """Peak signal-to-noise ratio of pairs, in dB: 10 log₁₀(255² / mean squared difference), at most 99.

    Args:
        first: uint8 [N, H, W, 3].
        second: uint8 [N, H, W, 3].

    Returns:
        float64 [N].

    Example:
        >>> black = np.zeros((1, 2, 2, 3), np.uint8)
        >>> psnr(black, black + np.uint8(255)).tolist(), psnr(black, black).tolist()
        ([0.0], [99.0])
    """
    errors = np.square(first.astype(np.float64) - second).mean(axis=(1, 2, 3))
    ratios: npt.NDArray[np.float64] = 10.0 * np.log10(255.0**2 / np.maximum(errors, 1e-12))
    return np.minimum(ratios, 99.0)


def sampled_items(run: Run, count: int, category: str | None, seed: int) -> Rows:
    """Random items without replacement, int32 [N], at most `count`, rows ascending.

    Args:
        category: only items of this category.

    Raises:
        UnknownIdError: if the run does not know the category.
        ConfigError: if `count` is below 1.
    """
    if count < 1:
        raise ConfigError(f"`sample` must be at least 1. Received {count}.")
    rows = np.arange(len(run.items), dtype=np.int32)
    if category is not None:
        rows = rows[run.items.category_ids == run.items.category_id(category)]
    if not len(rows):
        raise ConfigError(f"There must be an item to attack. The category {category!r} has none.")
    return np.sort(np.random.default_rng((seed, 1)).choice(rows, min(count, len(rows)), replace=False))


def _attacked(run: Run, before: Images, users: Rows, ranks: ItemRanks, options: AttackOptions) -> Images:
    thresholds, deviations = ranks.thresholds()
    some = np.unique(np.linspace(0, len(users) - 1, min(_GOAL_USERS, len(users))).astype(np.int64))
    target = Target(run, users[some], thresholds[some], deviations[some], options.target_category)
    goal_of = GOALS[options.goal](target)

    def goal(images: Any) -> Any:
        return goal_of(run.recommender.embed_images(images, training=False))

    return perturbed(before, goal, attack=options.attack, epsilon=options.epsilon, seed=options.seed, chunk_rows=_CHUNK)


def _item_table(
    dataset: PreparedDataset,
    items: Rows,
    before: Images,
    after: Images,
    exposures: dict[tuple[str, str, str], Exposure],
) -> pl.DataFrame:
    real = RealItems(dataset, None)
    apart = np.linalg.norm(real.features(before) - real.features(after), axis=1) / real.mean_distance(_PAIRS)
    columns: dict[str, Any] = {
        "item_id": [dataset.items.table["item_id"][int(row)] for row in items],
        "category": [dataset.items.table["category"][int(row)] for row in items],
        "psnr": psnr(before, after),
        "ssim": ssim(before, after, filter_size=_SSIM_WINDOW).astype(np.float64),
        "feature_distance": apart.astype(np.float64),
        "largest_change": np.abs(after.astype(np.int64) - before).max(axis=(1, 2, 3)),
    }
    for (run, defence, kind), each in exposures.items():
        name = f"{run}, {defence}, {kind}"
        columns[f"mean_rank ({name})"], columns[f"hit_rate ({name})"] = each.mean_rank, each.hit_rate
    return pl.DataFrame(columns)


def _summary(key: tuple[str, str, str], exposure: Exposure) -> dict[str, Any]:
    """Means over items that have a user, with the standard error of the rank's."""
    known = ~np.isnan(exposure.mean_rank)
    ranks, hits = exposure.mean_rank[known], exposure.hit_rate[known]
    error = float(ranks.std(ddof=1) / np.sqrt(len(ranks))) if len(ranks) > 1 else 0.0
    means = [float(values.mean()) if len(values) else None for values in (ranks, hits)]
    return {
        **dict(zip(("recommender", "defence", "photos"), key, strict=True)),
        "mean_rank": means[0],
        "standard_error": error,
        "hit_rate": means[1],
    }


def _detection(exposures: dict[tuple[str, str, str], Exposure]) -> float | None:
    """How well the disagreement of two recommenders tells attacked photos from others: the area under the ROC curve.

    The statistic is an item's mean rank under the second recommender less that under the first. ½ is chance.
    """
    clean, attacked = (
        exposures[SECOND, AS_IS, kind].mean_rank - exposures[RUN, AS_IS, kind].mean_rank for kind in (CLEAN, ATTACKED)
    )
    clean, attacked = clean[~np.isnan(clean)], attacked[~np.isnan(attacked)]
    if not len(clean) or not len(attacked):
        return None
    above = attacked[:, None] - clean[None]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())
