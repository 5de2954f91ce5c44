"""Whether designs for simulated users show the attributes that they are known to like, by steps and η."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.options import DesignOptions, check_weight
from tfdvbpr.designing.sample import sample_images
from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.evaluation.designs.attribute_reader import ATTRIBUTES, AttributeReader, Names
from tfdvbpr.evaluation.designs.baselines import RETRIEVED, Images, PreferenceScale, Requests, real_images
from tfdvbpr.evaluation.ranking.comparison import markdown_table
from tfdvbpr.evaluation.ranking.significance import holm, mcnemar_p
from tfdvbpr.files import write_csv
from tfdvbpr.run import GanRun, Run

_FIRST_SEED = 2_000_000_000
_INK = "#26323a"
_COLOURS = ("#b0503c", "#3c78b0", "#5c9a4a", "#8a5cb0", "#c0902c", "#26323a")
_log = logging.getLogger(__name__)

Hits = npt.NDArray[np.bool_]
Shares = dict[str, float]


@dataclass(frozen=True)
class AttributeEvaluationOptions:
    """How designs are compared with the attributes that users are known to like.

    Attributes:
        num_users: simulated users, sampled at random: one half to choose η and the number of steps, one to report.
        steps: numbers of steps of the ascent after which the images are read.
        realism_weights: values of η.
        design: candidates, starts and step size.
        seed: of users, categories and starts.
    """

    num_users: int = 200
    steps: tuple[int, ...] = (0, 5, 10, 20, 40, 80)
    realism_weights: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0)
    design: DesignOptions = field(default_factory=lambda: DesignOptions(num_starts=4))
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


@dataclass(frozen=True)
class AttributeEvaluation:
    """Shares of images that show a liked attribute, by steps and η.

    Attributes:
        options: how they were computed.
        reader_accuracy: by attribute, of the reader on held-out items.
        table: a row a part of the users ("validation", "test"), η and step: `part`, `realism_weight`, `step`, the share
            of images that show a liked `colour`, `pattern`, `cut`, and their mean `liked`.
        random: the same shares of random images for the test users, by attribute and `liked`.
        retrieved: the same of the real item of each request's category with the highest θᵀΦ: how much the recommender
            has learned of what is liked. The reader knows these items, designs it does not.
        best: `realism_weight` and `step` with the highest `liked` on the validation users; of equals the fewer steps.
        test: by attribute, at that η and step on the test users: `designs` and `random` (shares), `only_designs`,
            `only_random`, `p_value` (exact McNemar test, one-sided) and `p_holm` (the same, adjusted for three).
        liked: the mean share of liked attributes there.
    """

    options: AttributeEvaluationOptions
    reader_accuracy: Shares
    table: pl.DataFrame
    random: Shares
    retrieved: Shares
    best: Shares
    test: dict[str, dict[str, float]]
    liked: float


def compare_with_known_attributes(
    run: Run,
    gan_run: GanRun,
    truth: pl.DataFrame,
    *,
    dataset: PreparedDataset | None = None,
    options: AttributeEvaluationOptions | None = None,
) -> AttributeEvaluation:
    """Generates designs for simulated users, each in a random category, and reads attributes along their ascents.

    A colour is liked if it is one of the user's favourites, a pattern or a cut if the user's weight of no other is
    higher. The reader (`AttributeReader`) depends on neither the recommender nor the GAN. η and the number of steps are
    chosen by one half of the users and reported on the other. Arguments and errors are those of
    `tfdvbpr.evaluate_attributes`.
    """
    options = options or AttributeEvaluationOptions()
    designer = Designer(run, gan_run, options=replace(options.design, num_steps=max(options.steps)))
    dataset = dataset or gan_run.open_dataset()
    rows, categories = _sample_users(run, gan_run, truth, options)
    reader = AttributeReader.of(dataset)
    users = rows["user_id"].to_list()

    def hits(images: Images) -> dict[str, Hits]:
        return liked_attributes(reader.read(images, categories), rows, categories)

    found = {
        (weight, step): hits(images)
        for weight in options.realism_weights
        for step, images in _designs_by_step(designer, users, categories, weight, options).items()
    }
    random = hits(sample_images(gan_run, categories, seeds=range(_FIRST_SEED, _FIRST_SEED + len(users))))
    requests = Requests(run.user_indices(users).astype(np.int64), categories)
    scale = PreferenceScale.of(run, requests)
    retrieved = hits(real_images(dataset, run, requests, scale, seed=options.seed)[RETRIEVED])
    test = np.arange(len(users)) >= len(users) // 2
    table = pl.DataFrame(
        {"part": part, "realism_weight": weight, "step": step, **_shares(shown, mask)}
        for (weight, step), shown in found.items()
        for part, mask in (("validation", ~test), ("test", test))
    )
    best = (
        table.filter(pl.col("part") == "validation")
        .sort(["liked", "step", "realism_weight"], descending=[True, False, False])
        .row(0, named=True)
    )
    at_best = found[best["realism_weight"], best["step"]]
    tests = {name: mcnemar(at_best[name][test], random[name][test]) for name in ATTRIBUTES}
    adjusted = holm([each["p_value"] for each in tests.values()])
    return AttributeEvaluation(
        options,
        reader.accuracy,
        table,
        _shares(random, test),
        _shares(retrieved, test),
        {name: best[name] for name in ("realism_weight", "step", "liked")},
        {name: {**each, "p_holm": float(p)} for (name, each), p in zip(tests.items(), adjusted, strict=True)},
        _shares(at_best, test)["liked"],
    )


def liked_attributes(read: Mapping[str, Names], users: pl.DataFrame, categories: Sequence[str]) -> dict[str, Hits]:
    """By attribute, bool [N]: whether the name read in each image is one that its user, a row of the truth, likes."""
    return {
        attribute: np.array([name in liked for name, liked in zip(read[attribute], names, strict=True)], bool)
        for attribute, names in liked_names(users, categories).items()
    }


def liked_names(users: pl.DataFrame, categories: Sequence[str]) -> dict[str, list[list[str]]]:
    """By attribute, the names that each user, a row of the truth, likes in one category: a list a user.

    The favourite colours, strongest first; the pattern and the category's cut with the highest weight.
    """
    return {
        "colour": users["favourite_colours"].to_list(),
        "pattern": _favourites(users, ["pattern:"] * len(categories)),
        "cut": _favourites(users, [f"cut:{category}:" for category in categories]),
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


def _designs_by_step(
    designer: Designer, users: list[str], categories: list[str], weight: float, options: AttributeEvaluationOptions
) -> dict[int, Images]:
    """By number of steps, each user's image at that step of the best ascent, at one η."""
    _log.info("Generating designs for %d users at η = %g.", len(users), weight)
    seeds = [options.seed * len(users) + number for number in range(len(users))]
    designs = designer.design(
        users, categories, seeds=seeds, realism_weight=weight, num_designs=1, snapshot_steps=options.steps
    )
    frames: Any = designs.frames
    return {step: frame[:, 0] for step, frame in zip(options.steps, frames, strict=True)}


def _sample_users(
    run: Run, gan_run: GanRun, truth: pl.DataFrame, options: AttributeEvaluationOptions
) -> tuple[pl.DataFrame, list[str]]:
    """Random rows of the truth whose users the run knows, and a category for each."""
    generator = np.random.default_rng((options.seed, 14))
    known = truth.filter(pl.col("user_id").is_in(run.user_ids))
    if known.height < 4:
        raise RunError(
            f"{run.path} must know at least 4 users of the truth. It knows {known.height} of {truth.height}. "
            "Give the source that its dataset was prepared from."
        )
    rows = generator.choice(known.height, min(options.num_users, known.height), replace=False)
    names = sorted({name.split(":")[1] for name in truth.columns if name.startswith("cut:")})
    names = [name for name in gan_run.manifest.categories if name in names]
    return known[rows.tolist()], [str(name) for name in generator.choice(names, len(rows))]


def _favourites(users: pl.DataFrame, prefixes: list[str]) -> list[list[str]]:
    """Of the columns with each user's prefix, the name of the one with the highest weight, a list a user."""
    found = []
    for row, prefix in zip(users.iter_rows(named=True), prefixes, strict=True):
        weights = {name.removeprefix(prefix): row[name] for name in users.columns if name.startswith(prefix)}
        found.append([max(weights, key=lambda name: weights[name])])
    return found


def _shares(hits: Mapping[str, Hits], mask: Hits) -> Shares:
    shares = {name: float(hits[name][mask].mean()) for name in ATTRIBUTES}
    return {**shares, "liked": float(np.mean(list(shares.values())))}


def write_attribute_report(evaluation: AttributeEvaluation, folder: Path) -> None:
    """Writes attributes.json, .csv, .md and .png into a folder."""
    names = ("reader_accuracy", "random", "retrieved", "best", "test", "liked")
    values = {"options": asdict(evaluation.options), **{name: getattr(evaluation, name) for name in names}}
    (folder / "attributes.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    write_csv(evaluation.table, folder / "attributes.csv")
    (folder / "attributes.md").write_text(markdown(evaluation), encoding="utf-8")
    _plot(evaluation, folder / "attributes.png")


def summary(evaluation: AttributeEvaluation) -> str:
    """The outcome in words."""
    accuracy = ", ".join(f"{name} {evaluation.reader_accuracy[name]:.0%}" for name in ATTRIBUTES)
    shares = "; ".join(
        f"a liked {name} in {test['designs']:.1%} of designs and {test['random']:.1%} of random images (McNemar, after "
        f"Holm, p = {test['p_holm']:.1e}), in {evaluation.retrieved[name]:.1%} of the recommender's best real items"
        for name, test in evaluation.test.items()
    )
    best = evaluation.best
    return (
        f"Chosen on the validation users: η = {best['realism_weight']:g}, {best['step']:g} steps. On the test users: "
        f"{shares}. The mean share of liked attributes is {evaluation.liked:.1%}, in random images "
        f"{evaluation.random['liked']:.1%}. Accuracy of the reader on held-out items: {accuracy}."
    )


def markdown(evaluation: AttributeEvaluation) -> str:
    """The mean share of liked attributes of the test users, η a row and a step a column, and the outcome."""
    test = evaluation.table.filter(pl.col("part") == "test")
    headings = ["η", *(f"{step} steps" for step in evaluation.options.steps)]
    rows = [
        [f"{weight:g}", *(f"{row['liked']:.3f}" for row in test.filter(pl.col("realism_weight") == weight).to_dicts())]
        for weight in evaluation.options.realism_weights
    ]
    return "\n\n".join([markdown_table(headings, rows), summary(evaluation)]) + "\n"


def _plot(evaluation: AttributeEvaluation, path: Path) -> None:
    """A panel an attribute and one for all: shares over steps, a line an η; dashed random G, dotted real items."""
    from matplotlib.figure import Figure

    panels = (*ATTRIBUTES, "liked")
    figure = Figure(figsize=(3.2 * len(panels), 3.2), layout="constrained")
    test = evaluation.table.filter(pl.col("part") == "test")
    for number, name in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for position, weight in enumerate(evaluation.options.realism_weights):
            line = test.filter(pl.col("realism_weight") == weight)
            colour = _COLOURS[position % len(_COLOURS)]
            axes.plot(line["step"], line[name], marker="o", markersize=3, color=colour, label=f"η = {weight:g}")
        axes.axhline(evaluation.random[name], color=_INK, linestyle="--", linewidth=1, label="random G")
        axes.axhline(evaluation.retrieved[name], color=_INK, linestyle=":", linewidth=1, label="best real item")
        axes.set_title("mean" if name == "liked" else f"a liked {name}", fontsize=10, color=_INK)
        axes.set_xlabel("steps", fontsize=9)
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.25)
        if number == 0:
            axes.set_ylabel("share of designs that show it", fontsize=9)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=150)
