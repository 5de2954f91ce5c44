"""Describes a prepared dataset: sizes, density, how actions spread, a long-tail plot, a sample grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfdvbpr.data import SplitKind
from tfdvbpr.data.captions import item_caption
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.grids import image_grid
from tfdvbpr.data.images.photos import LEAST_HEIGHT, sharp_photos
from tfdvbpr.data.interactions import COLD_THRESHOLD, Interactions, Split
from tfdvbpr.files import whole_file
from tfdvbpr.text import shortened

LONG_TAIL_NAME = "long_tail.png"
SAMPLE_GRID_NAME = "sample_grid.png"
MAX_CATEGORIES = 12
_COLUMNS, _CAPTION = 8, 18
_WARM, _COLD = "#1f4e79", "#c0504d"


@dataclass(frozen=True)
class Spread:
    """How many actions each user, or each item, has, all parts of the split together; for `gini` see there."""

    mean: float
    median: float
    most: int
    gini: float


@dataclass(frozen=True)
class CategoryFigures:
    """One category's part of the catalogue.

    Attributes:
        category: its name.
        num_items: items, with or without actions.
        num_actions: actions on them, all parts together.
        cold_share: of its items, in [0, 1].
    """

    category: str
    num_items: int
    num_actions: int
    cold_share: float


@dataclass(frozen=True)
class Description:
    """The figures `tfdvbpr describe` prints.

    Attributes:
        name: of the dataset.
        fingerprint: of what training reads.
        split: how the actions were divided.
        num_users: users with at least one action.
        num_items: items in the catalogue.
        num_actions: distinct (user, item) actions.
        density: actions / (users × items), in [0, 1].
        parts: actions by part of the split: train, validation, test, withheld.
        num_tested_users: users with at least one test action.
        num_untrained_users: users without a training action.
        actions_per_user: over all users.
        actions_per_item: over all items, those without actions too.
        cold_threshold: an item with fewer training actions is cold.
        cold_item_share: of the items, in [0, 1].
        cold_test_share: of the test actions, those on cold items; 0 without any.
        num_duplicate_items: items with the image of an earlier one; None where they were not counted.
        first_actions: by part of the split, the time of the first action, ISO 8601 UTC; empty where no time is known.
        last_actions: likewise, of the last.
        categories: in the order of their ids.
    """

    name: str
    fingerprint: str
    split: SplitKind
    num_users: int
    num_items: int
    num_actions: int
    density: float
    parts: Mapping[str, int]
    num_tested_users: int
    num_untrained_users: int
    actions_per_user: Spread
    actions_per_item: Spread
    cold_threshold: int
    cold_item_share: float
    cold_test_share: float
    num_duplicate_items: int | None
    first_actions: Mapping[str, str]
    last_actions: Mapping[str, str]
    categories: tuple[CategoryFigures, ...]


def describe_dataset(dataset: PreparedDataset) -> Description:
    """Counts what a dataset holds."""
    actions = dataset.interactions
    about = dataset.manifest
    cold = actions.cold_items()
    tested_users, tested_items = actions.of(Split.TEST)
    first, last = _times(actions)
    return Description(
        name=about.name,
        fingerprint=about.fingerprint,
        split=about.split,
        num_users=actions.num_users,
        num_items=actions.num_items,
        num_actions=len(actions),
        density=len(actions) / (actions.num_users * actions.num_items),
        parts={split.name.lower(): len(actions.of(split)[0]) for split in Split},
        num_tested_users=len(np.unique(tested_users)),
        num_untrained_users=actions.num_untrained_users,
        actions_per_user=_spread(np.bincount(actions.user_ids, minlength=actions.num_users)),
        actions_per_item=_spread(np.bincount(actions.item_ids, minlength=actions.num_items)),
        cold_threshold=COLD_THRESHOLD,
        cold_item_share=float(cold.mean()),
        cold_test_share=float(cold[tested_items].mean()) if len(tested_items) else 0.0,
        num_duplicate_items=about.num_duplicate_items,
        first_actions=first,
        last_actions=last,
        categories=_categories(dataset, cold),
    )


def gini(counts: npt.NDArray[np.integer[Any]]) -> float:
    """The Gini coefficient of counts, int [n] with one above 0: their mean difference over twice their mean.

    Σ_k (2k − n − 1) x_k / (n Σ x) for x sorted upwards and k from 1. It is 0 for equal counts and (n − 1) / n where one
    has all.
    """
    ordered = np.sort(counts)
    ranks = 2.0 * np.arange(1, len(ordered) + 1) - len(ordered) - 1.0
    return float((ranks * ordered).sum() / (len(ordered) * ordered.sum()))


def _spread(counts: npt.NDArray[np.int64]) -> Spread:
    return Spread(float(counts.mean()), float(np.median(counts)), int(counts.max()), gini(counts))


def _times(actions: Interactions) -> tuple[dict[str, str], dict[str, str]]:
    """First and last known time of each part."""
    first: dict[str, str] = {}
    last: dict[str, str] = {}
    if actions.timestamps is not None:
        for split in Split:
            times = actions.timestamps[actions.splits == split]
            times = times[np.isfinite(times)]
            if len(times):
                first[split.name.lower()], last[split.name.lower()] = _iso(times.min()), _iso(times.max())
    return first, last


def _iso(seconds: float) -> str:
    time = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=int(seconds))  # before 1970 too
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _categories(dataset: PreparedDataset, cold: npt.NDArray[np.bool_]) -> tuple[CategoryFigures, ...]:
    names, ids = dataset.items.categories, dataset.items.category_ids
    num_items = np.bincount(ids, minlength=len(names))
    num_cold = np.bincount(ids[cold], minlength=len(names))
    num_actions = np.bincount(ids[dataset.interactions.item_ids], minlength=len(names))
    return tuple(
        CategoryFigures(
            name, int(num_items[number]), int(num_actions[number]), float(num_cold[number] / num_items[number])
        )
        for number, name in enumerate(names)
    )


def write_long_tail(interactions: Interactions, path: Path) -> None:
    """Plots items by their training actions as a PNG, both axes logarithmic, the cold ones in another colour."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = np.sort(interactions.training_counts)[::-1]
    ranks = np.arange(1, len(counts) + 1)
    num_cold, num_unused = int((counts < COLD_THRESHOLD).sum()), int((counts == 0).sum())
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    warm, cold = counts >= COLD_THRESHOLD, (counts < COLD_THRESHOLD) & (counts > 0)
    axes.plot(ranks[warm], counts[warm], ".", color=_WARM, markersize=4)
    axes.plot(ranks[cold], counts[cold], ".", color=_COLD, markersize=4)
    axes.axhline(COLD_THRESHOLD - 0.5, color=_COLD, linewidth=1, linestyle="--")
    text = f"cold, fewer than {COLD_THRESHOLD} training actions: {num_cold:,} of {len(counts):,} items"
    if num_unused:
        text += f"\n{num_unused:,} of them without any, not shown"
    axes.text(0.02, 0.03, text, transform=axes.transAxes, color=_COLD, fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="items, most popular first", ylabel="training actions")
    axes.set_xlim(0.8, len(counts) * 1.25)
    axes.set_ylim(0.4, max(float(counts[0]), 2.0 * COLD_THRESHOLD) * 1.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    with whole_file(path) as scratch:
        figure.savefig(scratch, dpi=150, format="png")


def write_sample_grid(dataset: PreparedDataset, path: Path, *, captions: Sequence[str] | None = None) -> None:
    """Writes up to 8 random photos of each of up to 12 categories (the largest) as a PNG.

    Below each stand its id and columns of the items; `captions` is the `columns` of `item_caption`.
    """
    generator = np.random.default_rng(0)
    ids, names = dataset.items.category_ids, dataset.items.categories
    sizes = np.bincount(ids, minlength=len(names))
    titles, chosen = [], []
    for category in np.argsort(-sizes, kind="stable")[:MAX_CATEGORIES]:
        members = np.flatnonzero(ids == category)
        chosen.append(np.sort(generator.choice(members, min(_COLUMNS, len(members)), replace=False)).astype(np.int32))
        titles.append(f"{shortened(names[category], _CAPTION)} ({sizes[category]:,})")
    others, table = len(names) - len(titles), dataset.items.table
    grid = image_grid(
        [list(sharp_photos(dataset, items, height=LEAST_HEIGHT)) for items in chosen],
        title=shortened(dataset.manifest.name, _CAPTION) + (f", without {others} smaller categories" if others else ""),
        row_titles=titles,
        captions=[["\n".join(item_caption(table, int(item), captions)) for item in items] for items in chosen],
        cell_height=LEAST_HEIGHT,
    )
    with whole_file(path) as scratch:
        grid.save(scratch, format="PNG")
