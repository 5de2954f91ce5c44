"""Do designs show what their users are known to like? The simulated shoppers' truth answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from tfdvbpr.data.synthetic.garments import read_colours
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.designing.sample import sample_images
from tfdvbpr.evaluation.ranking.significance import mcnemar_p
from tfdvbpr.run import GanRun, Run

_USERS_A_BATCH = 5
_RANDOM_SEEDS = 1_000_000


@dataclass(frozen=True)
class TasteCheck:
    """How often a user's favourite colours show: in the user's best design, and in a random picture of its category.

    Attributes:
        num_users: pairs of pictures, one a user.
        designs: users whose design shows one of their favourite colours.
        random: users whose random picture does.
        only_design: users where the design does and the random picture does not.
        only_random: the reverse.
        p_value: exact McNemar test, one-sided: of the pairs that differ, more differ in favour of the design than
            chance (½) gives.
        mean_gain: mean rise of θᵀΦ from the start of the ascent to its end, unitless.
    """

    num_users: int
    designs: int
    random: int
    only_design: int
    only_random: int
    p_value: float
    mean_gain: float


NUM_STARTS = 4


def check_tastes(run: Run, gan_run: GanRun, truth: pl.DataFrame, *, num_users: int, seed: int) -> TasteCheck:
    """Designs for users drawn at random, each in a category drawn at random, beside one random picture G(z, c) each.

    Users are independent and each gives one pair, which is what McNemar's test asks for. A design is the best of
    `NUM_STARTS` starts by its objective, which knows nothing of the truth.

    Args:
        run: the recommender.
        gan_run: the generator.
        truth: the simulated shoppers' `user_id` and `favourite_colours`.
        num_users: pairs.
        seed: of users, categories and latents.
    """
    designer = Designer(run, gan_run, options=DesignOptions(num_starts=NUM_STARTS))
    generator = np.random.default_rng(seed)
    known = truth.filter(pl.col("user_id").is_in(run.user_ids))
    rows = generator.choice(known.height, min(num_users, known.height), replace=False)
    users = [known["user_id"][int(row)] for row in rows]
    favourites = [known["favourite_colours"][int(row)].to_list() for row in rows]
    categories = [str(name) for name in generator.choice(gan_run.manifest.categories, len(users))]
    best, gains = _best_designs(designer, users, categories, seed=seed)
    plain = sample_images(gan_run, categories, seeds=range(_RANDOM_SEEDS, _RANDOM_SEEDS + len(users)))
    designed = _shows(best, favourites)
    random = _shows(plain, favourites)
    return compare(designed, random, mean_gain=float(gains.mean()))


def compare(
    designed: np.typing.NDArray[np.bool_], random: np.typing.NDArray[np.bool_], *, mean_gain: float
) -> TasteCheck:
    """McNemar's exact test on paired hits, bool [N] each."""
    only_design, only_random = int((designed & ~random).sum()), int((random & ~designed).sum())
    return TasteCheck(
        num_users=len(designed),
        designs=int(designed.sum()),
        random=int(random.sum()),
        only_design=only_design,
        only_random=only_random,
        p_value=mcnemar_p(only_design, only_random),
        mean_gain=mean_gain,
    )


def _best_designs(
    designer: Designer, users: list[str], categories: list[str], *, seed: int
) -> tuple[np.typing.NDArray[np.uint8], np.typing.NDArray[np.float32]]:
    images, gains = [], []
    for start in range(0, len(users), _USERS_A_BATCH):
        batch = slice(start, start + _USERS_A_BATCH)
        seeds = [seed + number for number in range(start, start + len(users[batch]))]
        designs = designer.design(users[batch], categories[batch], seeds=seeds)
        images.append(designs.images[:, 0])
        gains.append((designs.preferences - designs.initial_preferences)[:, 0])
    return np.concatenate(images), np.concatenate(gains)


def _shows(images_uint8: np.typing.NDArray[np.uint8], favourites: list[list[str]]) -> np.typing.NDArray[np.bool_]:
    colours = read_colours(images_uint8)
    return np.array([colour in liked for colour, liked in zip(colours, favourites, strict=True)], bool)
