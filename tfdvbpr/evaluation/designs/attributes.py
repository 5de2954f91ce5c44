"""Do designs show what synthetic shoppers are known to like, after how many steps, and at which η?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.options import DesignOptions, check_weight
from tfdvbpr.designing.sample import sample_images
from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.evaluation.designs.attribute_readers import ATTRIBUTES, AttributeReaders
from tfdvbpr.evaluation.designs.baselines import RETRIEVED, Pictures, real_pictures
from tfdvbpr.evaluation.designs.requests import Requests, standard_of
from tfdvbpr.evaluation.generative.extractors import DEFAULT, check_extractor
from tfdvbpr.evaluation.ranking.significance import holm, mcnemar_p
from tfdvbpr.run import GanRun, Run

_SEEDS = 2_000_000_000

Hits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class AttributeOptions:
    """How designs are held against known tastes.

    Attributes:
        num_users: shoppers drawn at random: half of them to choose by, half to report.
        steps: after so many steps of the ascent the pictures are looked at.
        realism_weights: values of η.
        design: starts and step size.
        extractor: through which network patterns and cuts are read, a name in EXTRACTORS.
        seed: of shoppers, categories and starts.
    """

    num_users: int = 200
    steps: tuple[int, ...] = (0, 5, 10, 20, 40, 80)
    realism_weights: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0)
    design: DesignOptions = field(default_factory=lambda: DesignOptions(num_starts=4))
    extractor: str = DEFAULT
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_users < 4:
            raise ConfigError(f"`num_users` must be at least 4. Received {self.num_users}.")
        if not self.steps or min(self.steps) < 0 or max(self.steps) < 1 or list(self.steps) != sorted(set(self.steps)):
            raise ConfigError(f"`steps` must be different numbers from 0 on, ascending. Received {self.steps}.")
        if not self.realism_weights:
            raise ConfigError("`realism_weights` must name at least one. Received none.")
        for weight in self.realism_weights:
            check_weight("realism_weights", weight)
        check_extractor(self.extractor)


@dataclass(frozen=True)
class AttributeCheck:
    """What shows, by steps and η.

    Attributes:
        options: how it was looked at.
        reader_accuracy: by attribute, of the readers on held-out items.
        table: a row a part of the shoppers ("validation", "test"), η and step: `part`, `realism_weight`, `step`, the
            share of pictures that show a liked `colour`, `pattern`, `cut`, and their mean `liked`.
        random: the same shares of random pictures for the test shoppers, by attribute and `liked`.
        retrieved: the same of the real item of each request's category with the highest θᵀΦ: how much of the tastes the
            recommender knows. The readers know these items, designs they do not.
        best: `realism_weight` and `step` with the highest `liked` on the validation shoppers; of equals the fewer
            steps.
        test: by attribute, at that η and step on the test shoppers: `designs` and `random` (shares that show what is
            liked), `only_designs`, `only_random`, `p_value` (exact McNemar test, one-sided) and `p_holm` (the same, of
            three).
        liked: the mean share of liked attributes there.
    """

    options: AttributeOptions
    reader_accuracy: dict[str, float]
    table: pl.DataFrame
    random: dict[str, float]
    retrieved: dict[str, float]
    best: dict[str, float]
    test: dict[str, dict[str, float]]
    liked: float


def check_attributes(
    run: Run,
    gan_run: GanRun,
    truth: pl.DataFrame,
    *,
    dataset: PreparedDataset | None = None,
    options: AttributeOptions | None = None,
    told: Callable[[str], None] = lambda line: None,
) -> AttributeCheck:
    """Designs for shoppers whose tastes are known, each in a category drawn at random, looked at along their ascents.

    A colour is liked if it is one of the shopper's favourites, a pattern or a cut if no other has a higher weight with
    her. Colours are read by rule, patterns and cuts by the nearest items (`AttributeReaders`); neither knows of the
    recommender or the GAN. η and the number of steps are chosen by one half of the shoppers and reported on the other.

    Args:
        run: a recommender trained on a synthetic dataset.
        gan_run: a GAN trained on it.
        truth: the shoppers' tastes, from `read_truth`.
        dataset: the GAN's; left out, where it lay when the GAN was trained.
        options: see `AttributeOptions`.
        told: takes lines for people.

    Raises:
        RunError: if the run does not learn from pixels or knows fewer than four of the shoppers.
        DatasetError: if the dataset is no synthetic one.
        ConfigError: if the GAN's discriminator looks through the extractor, or its weights cannot be had.
    """
    options = options or AttributeOptions()
    check_extractor(options.extractor, [gan_run])
    designer = Designer(run, gan_run, options=replace(options.design, num_steps=max(options.steps)))
    dataset = dataset or gan_run.open_dataset()
    readers = AttributeReaders.of(dataset, extractor=options.extractor, seed=options.seed)
    shoppers, categories = _drawn(run, gan_run, truth, options)
    users = shoppers["user_id"].to_list()

    def seen(pictures: Pictures) -> dict[str, Hits]:
        return liked(readers.read(pictures, categories), shoppers, categories)

    shown = {
        (weight, step): seen(pictures)
        for weight in options.realism_weights
        for step, pictures in _along(designer, users, categories, weight, options, told).items()
    }
    random = seen(sample_images(gan_run, categories, seeds=range(_SEEDS, _SEEDS + len(users))))
    requests = Requests(run.user_indices(users).astype(np.int64), categories)
    retrieved = seen(real_pictures(dataset, run, requests, standard_of(run, requests), seed=options.seed)[RETRIEVED])
    test = np.arange(len(users)) >= len(users) // 2
    table = pl.DataFrame(
        {"part": part, "realism_weight": weight, "step": step, **_shares(hits, mask)}
        for (weight, step), hits in shown.items()
        for part, mask in (("validation", ~test), ("test", test))
    )
    best = (
        table.filter(pl.col("part") == "validation")
        .sort(["liked", "step", "realism_weight"], descending=[True, False, False])
        .row(0, named=True)
    )
    at = shown[best["realism_weight"], best["step"]]
    return AttributeCheck(
        options,
        readers.accuracy,
        table,
        _shares(random, test),
        _shares(retrieved, test),
        {name: best[name] for name in ("realism_weight", "step", "liked")},
        _tests({name: (at[name][test], random[name][test]) for name in ATTRIBUTES}),
        _shares(at, test)["liked"],
    )


def liked(read: dict[str, npt.NDArray[np.str_]], shoppers: pl.DataFrame, categories: list[str]) -> dict[str, Hits]:
    """By attribute, bool [N]: whether what was read in each picture is what its shopper likes.

    Args:
        read: names, by attribute.
        shoppers: rows of the truth, one a picture.
        categories: one a picture.
    """
    favourites = [set(row) for row in shoppers["favourite_colours"].to_list()]
    patterns = _favourites(shoppers, ["pattern:"] * len(categories))
    cuts = _favourites(shoppers, [f"cut:{category}:" for category in categories])
    return {
        "colour": np.array([colour in of for colour, of in zip(read["colour"], favourites, strict=True)], bool),
        "pattern": read["pattern"] == patterns,
        "cut": read["cut"] == cuts,
    }


def mcnemar(designs: Hits, random: Hits) -> dict[str, float]:
    """McNemar's exact test on paired hits, bool [N] each; one-sided, in favour of the designs."""
    only_designs, only_random = int((designs & ~random).sum()), int((random & ~designs).sum())
    return {
        "designs": float(designs.mean()),
        "random": float(random.mean()),
        "only_designs": only_designs,
        "only_random": only_random,
        "p_value": mcnemar_p(only_designs, only_random),
    }


def _along(
    designer: Designer,
    users: list[str],
    categories: list[str],
    weight: float,
    options: AttributeOptions,
    told: Callable[[str], None],
) -> dict[int, Pictures]:
    """By step, what the best ascent of each shopper looks like then, at one η."""
    told(f"Designing for {len(users)} shoppers at η = {weight:g}.")
    seeds = [options.seed * len(users) + number for number in range(len(users))]
    designs = designer.design(
        users, categories, seeds=seeds, realism_weight=weight, num_designs=1, snapshot_steps=options.steps
    )
    frames: Any = designs.frames
    return {step: frame[:, 0] for step, frame in zip(options.steps, frames, strict=True)}


def _tests(pairs: dict[str, tuple[Hits, Hits]]) -> dict[str, dict[str, float]]:
    found = {name: mcnemar(*pair) for name, pair in pairs.items()}
    adjusted = holm([test["p_value"] for test in found.values()])
    return {name: {**test, "p_holm": float(p)} for (name, test), p in zip(found.items(), adjusted, strict=True)}


def _drawn(run: Run, gan_run: GanRun, truth: pl.DataFrame, options: AttributeOptions) -> tuple[pl.DataFrame, list[str]]:
    """Shoppers the run knows, at random, and a category for each."""
    generator = np.random.default_rng((options.seed, 14))
    known = truth.filter(pl.col("user_id").is_in(run.user_ids))
    if known.height < 4:
        raise RunError(
            f"{run.path} must know the shoppers of the truth. It knows {known.height} of {truth.height}. "
            "Give the source its dataset was made of."
        )
    rows = generator.choice(known.height, min(options.num_users, known.height), replace=False)
    names = sorted({name.split(":")[1] for name in truth.columns if name.startswith("cut:")})
    names = [name for name in gan_run.manifest.categories if name in names]
    return known[rows.tolist()], [str(name) for name in generator.choice(names, len(rows))]


def _favourites(shoppers: pl.DataFrame, prefixes: list[str]) -> npt.NDArray[np.str_]:
    """Of the columns with each shopper's prefix, the name of the one with the highest weight."""
    found = []
    for row, prefix in zip(shoppers.iter_rows(named=True), prefixes, strict=True):
        weights = {name.removeprefix(prefix): row[name] for name in shoppers.columns if name.startswith(prefix)}
        found.append(max(weights, key=lambda name: weights[name]))
    return np.array(found)


def _shares(shown: dict[str, Hits], mask: Hits) -> dict[str, float]:
    shares = {name: float(shown[name][mask].mean()) for name in ATTRIBUTES}
    return {**shares, "liked": float(np.mean(list(shares.values())))}
