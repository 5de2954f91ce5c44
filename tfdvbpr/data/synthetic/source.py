"""A source whose truth is known: rendered garments, and simulated users with known preferences.

Every user weighs colours, categories, patterns and the cuts within each category; the utility of a garment to the user
is the sum. Actions are sampled without replacement with probability softmax(utility / temperature + exposure of the
item), by the Gumbel-top-k trick (Kool et al. 2019). A recommender that knew all preferences would reach the AUC of the
true utility: the ceiling.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, ValidationInfo, field_validator

from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import Importer, Quarantine, Source, images_below
from tfdvbpr.data.synthetic.garments import CATEGORIES, CUTS, PALETTE, PATTERNS, Garment, random_garment, render_garment
from tfdvbpr.errors import SourceError
from tfdvbpr.files import whole_directory

TRUTH_NAME = "truth.parquet"
_ITEMS_NAME, _INTERACTIONS_NAME, _IMAGES_NAME = "items.csv", "interactions.csv", "images"
_JPEG_QUALITY = 92

_log = logging.getLogger(__name__)

Scores = npt.NDArray[np.float32]


def check_actions_per_user(value: tuple[int, int], info: ValidationInfo) -> tuple[int, int]:
    """Refuses (fewest, most) that are not 1 <= fewest <= most < num_items; a validator of importers' options."""
    num_items = info.data.get("num_items", np.inf)
    if not 1 <= value[0] <= value[1] < num_items:
        raise ValueError(f"must be (fewest, most) with 1 <= fewest <= most < num_items={num_items}")
    return value


class SyntheticImporter(Importer):
    """Renders garments and simulates users; the same options give the same bytes."""

    summary: ClassVar[str] = "no SOURCE; garments are rendered and users simulated."
    needs_source: ClassVar[Literal["yes", "optional", "no"]] = "no"

    num_items: int = Field(1500, ge=2, description="Garments to render.")
    num_users: int = Field(1200, ge=1, description="Users to simulate.")
    actions_per_user: tuple[int, int] = Field((4, 19), description="Fewest and most actions of a user, log-uniform.")
    image_size: int = Field(64, ge=16, description="Width and height of the images, in pixels.")
    seed: int = Field(0, ge=0, description="Of the garments and of the users.")
    temperature: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="Of the softmax over utilities; higher is noisier."
    )
    exposure_stddev: float = Field(
        0.45, ge=0, allow_inf_nan=False, description="Of the items' exposure, in logits; 0 leaves popularity to chance."
    )
    keep_source: Path | None = Field(
        None, description="A new folder to keep the source in, with the users' true preferences."
    )

    _check_actions = field_validator("actions_per_user")(check_actions_per_user)

    def read(self, source: None) -> Source:
        """Simulates the users; garments are rendered when their images are read, or at once with `keep_source`.

        Raises:
            OutputExistsError: if `keep_source` holds something already.
        """
        if self.keep_source is not None:
            write_synthetic(self.keep_source, self)
        garments, items, actions, _ = self.simulate()
        by_image = dict(zip(items["image"], garments, strict=True))
        row = pl.int_range(2, pl.len() + 2, dtype=pl.Int64).alias(ROW)
        return Source(
            "synthetic" if self.keep_source is None else self.keep_source.resolve().name,
            items.with_columns(row),
            actions.with_columns(row),
            (lambda image: _jpeg(by_image[image], self.image_size))
            if self.keep_source is None
            else images_below(self.keep_source),
            Quarantine(),
        )

    def simulate(self) -> tuple[list[Garment], pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """The garments, their table, the actions, and the truth; see `read_truth`."""
        garment_rng, preference_rng, action_rng = (np.random.default_rng([self.seed, part]) for part in range(3))
        garments = [random_garment(garment_rng) for _ in range(self.num_items)]
        items = _items(garments)
        truth = _preferences(preference_rng, self.num_users)
        counts = log_uniform_counts(action_rng, self.num_users, *self.actions_per_user)
        exposure = action_rng.normal(0, self.exposure_stddev, self.num_items)
        users, chosen = gumbel_top_k(action_rng, utilities(truth, items) / self.temperature + exposure, counts)
        actions = pl.DataFrame({"user_id": truth["user_id"].gather(users), "item_id": items["item_id"].gather(chosen)})
        return garments, items, actions, truth


def write_synthetic(folder: Path | str, options: SyntheticImporter) -> None:
    """Writes items.csv, interactions.csv, images/ and truth.parquet into a new or empty folder, whole or not at all.

    Raises:
        OutputExistsError: if `folder` holds something already.
    """
    with whole_directory(Path(folder)) as scratch:
        garments, items, actions, truth = options.simulate()
        _log.info("Rendering %d garments into %s.", len(garments), folder)
        (scratch / _IMAGES_NAME).mkdir()
        for garment, image in zip(garments, items["image"], strict=True):
            (scratch / image).write_bytes(_jpeg(garment, options.image_size))
        items.write_csv(scratch / _ITEMS_NAME)
        actions.write_csv(scratch / _INTERACTIONS_NAME)
        truth.write_parquet(scratch / TRUTH_NAME)


def read_truth(folder: Path | str) -> pl.DataFrame:
    """The users' true preferences, of a folder that `write_synthetic` wrote.

    Returns:
        One row a user: `user_id`, `favourite_colours` (strongest first), and a float32 weight in each of the columns
        `colour:NAME`, `category:NAME`, `pattern:NAME` and `cut:CATEGORY:NAME`, in logits at temperature 1.

    Raises:
        SourceError: if the folder has no truth.
    """
    path = Path(folder) / TRUTH_NAME
    if not path.is_file():
        raise SourceError(f"`folder` must be a synthetic source with {TRUTH_NAME}. {folder} has none. Write one first.")
    return pl.read_parquet(path, glob=False)


def _items(garments: list[Garment]) -> pl.DataFrame:
    ids = [f"item-{number:05d}" for number in range(len(garments))]
    return pl.DataFrame(
        {
            "item_id": ids,
            "category": [garment.category for garment in garments],
            "image": [f"{_IMAGES_NAME}/{item_id}.jpg" for item_id in ids],
            "cut": [garment.cut for garment in garments],
            "colour": [garment.colour for garment in garments],
            "pattern": [garment.pattern for garment in garments],
        }
    )


def _preferences(rng: np.random.Generator, num_users: int) -> pl.DataFrame:
    """The truth table; each user has one to three favourite colours far above the others."""
    num_favourites = rng.integers(1, 4, num_users)
    ranks = rng.permuted(np.tile(np.arange(len(PALETTE)), (num_users, 1)), axis=1)  # [num_users, colours]
    favourite = ranks < num_favourites[:, None]
    preference = 2.8 - 0.4 * ranks + rng.uniform(-0.15, 0.15, ranks.shape)
    colours = np.where(favourite, preference, rng.normal(-0.4, 0.3, ranks.shape))
    weights = {f"colour:{name}": colours[:, number] for number, name in enumerate(PALETTE)}
    weights |= _normal(rng, num_users, [f"category:{name}" for name in CATEGORIES], 1.0)
    weights |= _normal(rng, num_users, [f"pattern:{name}" for name in PATTERNS], 0.8)
    weights |= _normal(
        rng, num_users, [f"cut:{category}:{cut}" for category in CATEGORIES for cut in CUTS[category]], 0.9
    )
    names = np.array(list(PALETTE))
    favourites = [names[np.argsort(row)[:count]].tolist() for row, count in zip(ranks, num_favourites, strict=True)]
    return pl.DataFrame(
        {
            "user_id": [f"user-{number:05d}" for number in range(num_users)],
            "favourite_colours": favourites,
            **{name: values.astype(np.float32) for name, values in weights.items()},
        }
    )


def _normal(
    rng: np.random.Generator, num_users: int, names: list[str], spread: float
) -> dict[str, npt.NDArray[np.float64]]:
    values = rng.normal(0, spread, (num_users, len(names)))
    return {name: values[:, number] for number, name in enumerate(names)}


def utilities(truth: pl.DataFrame, items: pl.DataFrame) -> Scores:
    """float32 [num_users, num_items]: the sum of the weights of what each item is."""
    total = np.zeros((truth.height, items.height), np.float32)
    cuts = items["category"] + ":" + items["cut"]
    for kind, values in (
        ("colour", items["colour"]),
        ("category", items["category"]),
        ("pattern", items["pattern"]),
        ("cut", cuts),
    ):
        names = [name for name in truth.columns if name.startswith(f"{kind}:")]
        index = {name.removeprefix(f"{kind}:"): number for number, name in enumerate(names)}
        total += truth.select(names).to_numpy()[:, [index[value] for value in values]]
    return total


def _jpeg(garment: Garment, size: int) -> bytes:
    buffer = io.BytesIO()
    render_garment(garment, size).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def log_uniform_counts(rng: np.random.Generator, num_users: int, fewest: int, most: int) -> npt.NDArray[np.int64]:
    """int64 [num_users] in fewest..most; few actions are more common than many."""
    counts = np.floor(np.exp(rng.uniform(np.log(fewest), np.log(most + 1), num_users))).astype(np.int64)
    return np.clip(counts, fewest, most)


def gumbel_top_k(
    rng: np.random.Generator, logits: npt.NDArray[np.floating], counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Samples items without replacement with probability softmax(logits), by the Gumbel-top-k trick (Kool et al. 2019).

    Args:
        rng: gives one number for every logit.
        logits: float [num_users, num_items].
        counts: int64 [num_users], how many items each user is given; fewer than num_items.

    Returns:
        (users, items), int64 [counts.sum()] each, sorted by user and then in the order sampled.
    """
    most = int(counts.max(initial=0))
    keys = -(logits + rng.gumbel(size=logits.shape))
    top = np.argpartition(keys, most, axis=1)[:, :most]
    order = np.take_along_axis(top, np.argsort(np.take_along_axis(keys, top, axis=1), axis=1), axis=1)
    within = np.arange(most) < counts[:, None]
    return np.repeat(np.arange(len(counts)), counts), order[within]
