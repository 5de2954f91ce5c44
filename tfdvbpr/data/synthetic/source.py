"""A source folder whose truth is known: rendered garments, and shoppers with tastes of their own.

Every shopper weighs colours, categories, patterns and the cuts within each category; a garment's utility to her is the
sum. Her actions are drawn without replacement with probability softmax(utility / temperature + exposure of the item),
by the Gumbel-top-k trick (Kool et al. 2019). A recommender that read pictures and tastes perfectly would reach the AUC
of the true utility: the ceiling.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from tfdvbpr.data.synthetic.garments import CATEGORIES, CUTS, PALETTE, PATTERNS, Garment, random_garment, render_garment
from tfdvbpr.errors import ConfigError, SourceError
from tfdvbpr.files import whole_directory

TRUTH_NAME = "truth.parquet"
_ITEMS_NAME, _INTERACTIONS_NAME, _IMAGES_NAME = "items.csv", "interactions.csv", "images"
_JPEG_QUALITY = 92
_REPORT_EVERY = 50

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SyntheticOptions:
    """Size and noise of a synthetic source.

    Attributes:
        num_items: garments to draw.
        num_users: shoppers to simulate.
        actions_per_user: fewest and most actions of a shopper; few are more common than many (log-uniform).
        image_size: width and height of the pictures, in pixels.
        seed: the same options give the same bytes.
        temperature: of the softmax over utilities; higher is noisier.
        exposure_spread: standard deviation of the items' exposure, in logits; 0 leaves popularity to chance.
    """

    num_items: int = 1500
    num_users: int = 1200
    actions_per_user: tuple[int, int] = (4, 19)
    image_size: int = 64
    seed: int = 0
    temperature: float = 1.0
    exposure_spread: float = 0.45

    def __post_init__(self) -> None:
        for name, smallest in (("num_items", 2), ("num_users", 1), ("image_size", 16), ("seed", 0)):
            if getattr(self, name) < smallest:
                raise ConfigError(f"`{name}` must be at least {smallest}. Received {getattr(self, name)}.")
        fewest, most = self.actions_per_user
        if not 1 <= fewest <= most < self.num_items:
            raise ConfigError(
                f"`actions_per_user` must be (fewest, most) with 1 <= fewest <= most < num_items={self.num_items}. "
                f"Received {self.actions_per_user}."
            )
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            raise ConfigError(f"`temperature` must be above 0. Received {self.temperature}.")
        if not (np.isfinite(self.exposure_spread) and self.exposure_spread >= 0):
            raise ConfigError(f"`exposure_spread` must be 0 or more. Received {self.exposure_spread}.")


def write_synthetic(
    folder: Path | str, options: SyntheticOptions, *, progress: Callable[[int, int], None] | None = None
) -> None:
    """Writes items.csv, interactions.csv, images/ and truth.parquet, whole or not at all.

    Args:
        folder: a new or empty folder.
        options: how much, and how noisy.
        progress: called with (pictures drawn, pictures in all).

    Raises:
        OutputExistsError: if `folder` holds something already.
    """
    garment_rng, taste_rng, action_rng = (np.random.default_rng([options.seed, part]) for part in range(3))
    with whole_directory(Path(folder)) as scratch:
        garments = [random_garment(garment_rng) for _ in range(options.num_items)]
        items = _items(garments)
        truth = _tastes(taste_rng, options.num_users)
        actions = _actions(action_rng, _utilities(truth, items), options)
        (scratch / _IMAGES_NAME).mkdir()
        for number, (garment, image) in enumerate(zip(garments, items["image"], strict=True), start=1):
            (scratch / image).write_bytes(_jpeg(garment, options.image_size))
            if progress is not None and (number % _REPORT_EVERY == 0 or number == len(garments)):
                progress(number, len(garments))
        items.write_csv(scratch / _ITEMS_NAME)
        users, chosen = actions
        pl.DataFrame({"user_id": truth["user_id"].gather(users), "item_id": items["item_id"].gather(chosen)}).write_csv(
            scratch / _INTERACTIONS_NAME
        )
        truth.write_parquet(scratch / TRUTH_NAME)


def read_truth(folder: Path | str) -> pl.DataFrame:
    """The shoppers' tastes.

    Args:
        folder: written by `write_synthetic`.

    Returns:
        One row a shopper: `user_id`, `favourite_colours` (strongest first), and a float32 weight in each of the columns
        `colour:NAME`, `category:NAME`, `pattern:NAME` and `cut:CATEGORY:NAME`, in logits at temperature 1.

    Raises:
        SourceError: if the folder has no truth.
    """
    path = Path(folder) / TRUTH_NAME
    if not path.is_file():
        raise SourceError(f"`folder` must be a synthetic source with {TRUTH_NAME}. {folder} has none. Write one first.")
    return pl.read_parquet(path)


def true_scores(folder: Path | str) -> Scores:
    """The utility of every item to every shopper.

    Args:
        folder: written by `write_synthetic`.

    Returns:
        float32 [num_users, num_items], in logits at temperature 1; rows as in the truth, columns as in items.csv.

    Raises:
        SourceError: if the folder has no truth.
    """
    truth = read_truth(folder)
    return _utilities(truth, pl.read_csv(Path(folder) / _ITEMS_NAME, infer_schema=False))


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


def _tastes(rng: np.random.Generator, num_users: int) -> pl.DataFrame:
    """The truth table; each shopper has one to three favourite colours far above the others."""
    num_favourites = rng.integers(1, 4, num_users)
    ranks = rng.permuted(np.tile(np.arange(len(PALETTE)), (num_users, 1)), axis=1)  # [num_users, colours]
    favourite = ranks < num_favourites[:, None]
    liking = 2.8 - 0.4 * ranks + rng.uniform(-0.15, 0.15, ranks.shape)
    colours = np.where(favourite, liking, rng.normal(-0.4, 0.3, ranks.shape))
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


def _utilities(truth: pl.DataFrame, items: pl.DataFrame) -> Scores:
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


def _actions(
    rng: np.random.Generator, utilities: Scores, options: SyntheticOptions
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(users, items), int64 [N] each, sorted by user and then in the order drawn."""
    num_users, num_items = utilities.shape
    counts = log_uniform_counts(rng, num_users, *options.actions_per_user)
    exposure = rng.normal(0, options.exposure_spread, num_items)
    return gumbel_top_k(rng, utilities / options.temperature + exposure, counts)


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
    """Draws items without replacement with probability softmax(logits), by the Gumbel-top-k trick (Kool et al. 2019).

    Args:
        rng: drawn from once, a number for every logit.
        logits: float [num_users, num_items].
        counts: int64 [num_users], how many items each user draws; fewer than num_items.

    Returns:
        (users, items), int64 [counts.sum()] each, sorted by user and then in the order drawn.
    """
    most = int(counts.max(initial=0))
    keys = -(logits + rng.gumbel(size=logits.shape))
    top = np.argpartition(keys, most, axis=1)[:, :most]
    order = np.take_along_axis(top, np.argsort(np.take_along_axis(keys, top, axis=1), axis=1), axis=1)
    drawn = np.arange(most) < counts[:, None]
    return np.repeat(np.arange(len(counts)), counts), order[drawn]
