"""What several users liked, are recommended, and would be designed: pictures for the report and the README."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.grids import image_grid
from tfdvbpr.data.interactions import Split
from tfdvbpr.designing.audience import Audience
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.folders import write_designs
from tfdvbpr.designing.sample import sample_images
from tfdvbpr.files import whole_file

SHEET_NAME = "designs.png"
_COLUMNS = 5
_MIN_LIKED = 6
_RANDOM_SEEDS = 2_000_000

Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ShownUser:
    """One user's row of the report.

    Attributes:
        user_id: as in the interactions.
        category: the one the user acted on most; designs are of it.
        liked: uint8 [N, H, W, 3], training items of the user.
        recommended: uint8 [N, H, W, 3], best first, of the whole catalogue, nothing the user has seen.
        random: uint8 [N, H, W, 3], random pictures of the generator, of `category`.
        designed: uint8 [N, H, W, 3], best first.
        preferences: float32 [N], θᵀΦ of the designs.
        grid: the picture of the way from start to design.
    """

    user_id: str
    category: str
    liked: Pictures
    recommended: Pictures
    random: Pictures
    designed: Pictures
    preferences: npt.NDArray[np.float32]
    grid: Path


@dataclass(frozen=True)
class Gallery:
    """The shown users, and one sheet of them all."""

    users: list[ShownUser]
    sheet: Path


def draw_gallery(designer: Designer, dataset: PreparedDataset, output: Path, *, num_users: int, seed: int) -> Gallery:
    """Designs for users who like different categories, writes a folder for each, and one sheet of all.

    Args:
        designer: the two runs.
        dataset: theirs.
        output: the folder of the designs.
        num_users: at most this many; fewer if there are not enough categories.
        seed: which users, and where the designs begin.
    """
    chosen = _choose(designer, dataset, num_users=num_users, seed=seed)
    users = [
        _show(designer, dataset, output, user=user, category=category, seed=seed) for category, user in chosen.items()
    ]
    rows = [[*user.liked, None, *user.recommended, None, *user.designed] for user in users]
    titles = ["liked", *[""] * _COLUMNS, "recommended", *[""] * _COLUMNS, "designed"]
    sheet = output / SHEET_NAME
    with whole_file(sheet) as scratch:
        image_grid(rows, column_titles=titles, row_titles=[user.category for user in users], cell_height=64).save(
            scratch
        )
    return Gallery(users, sheet)


def _choose(designer: Designer, dataset: PreparedDataset, *, num_users: int, seed: int) -> dict[str, int]:
    """Category to user row: users drawn at random among those with enough actions, one a category."""
    matrix = designer.run.interactions.matrix(Split.TRAIN)
    enough = np.flatnonzero(np.diff(matrix.indptr) >= _MIN_LIKED)
    chosen: dict[str, int] = {}
    for user in np.random.default_rng(seed).permutation(enough):
        liked = designer.run.seen_items(int(user), Split.TRAIN)
        category_id = Counter(dataset.items.category_ids[liked].tolist()).most_common(1)[0][0]
        chosen.setdefault(dataset.manifest.categories[category_id], int(user))
        if len(chosen) == num_users:
            break
    return chosen


def _show(
    designer: Designer, dataset: PreparedDataset, output: Path, *, user: int, category: str, seed: int
) -> ShownUser:
    run = designer.run
    user_id = run.user_ids[user]
    liked = run.seen_items(user, Split.TRAIN)[:_COLUMNS]
    best = [row.item_id for row in run.recommend(user_id, k=_COLUMNS)]
    audience = Audience.user(user_id)
    designs = write_designs(
        designer, output / user_id, audience, category=category, dataset=dataset, seed=seed, if_exists="overwrite"
    )
    random = sample_images(
        designer.gan_run, [category] * _COLUMNS, seeds=range(_RANDOM_SEEDS, _RANDOM_SEEDS + _COLUMNS)
    )
    return ShownUser(
        user_id=user_id,
        category=category,
        liked=dataset.images.read(liked),
        recommended=dataset.images.read(run.items.indices(best)),
        random=random,
        designed=designs.images[0, :_COLUMNS],
        preferences=designs.preferences[0, :_COLUMNS],
        grid=output / user_id / "grid.png",
    )
