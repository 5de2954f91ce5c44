"""What a report is made from: figures of the run, of popularity and of other runs, each measured once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.errors import RunError
from tfdvbpr.evaluation.ranking.evaluate import catalogue_metrics, mean_of, per_user_metrics
from tfdvbpr.evaluation.ranking.metrics import Rankings, metric_title
from tfdvbpr.evaluation.ranking.popularity_bar import popularity_factors, sample_users
from tfdvbpr.evaluation.ranking.ranks import Ranks
from tfdvbpr.evaluation.ranking.significance import Interval, mean_interval
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.run import GanRun, Run
from tfdvbpr.run.folder import HISTORY_NAME
from tfdvbpr.run.names import distinct_names, run_title

K = 10
METRICS = ("auc", "auc_cold", f"recall@{K}", f"coverage@{K}")
HEALTH_NAME = "health.json"
_MAX_HEALTH_BYTES = 4_000_000


@dataclass(frozen=True)
class ModelFigures:
    """One model's figures on the test part.

    Attributes:
        name: distinct among the models of a report.
        values: means by name in METRICS, None where no user has the value.
        per_user: float64 [U] by name, but for coverage: every evaluated user's value, users ascending; NaN where a user
            does not have it.
    """

    name: str
    values: dict[str, float | None]
    per_user: dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Facts:
    """What the sections and the verdict of a report read.

    Attributes:
        run: the run that is reported on.
        dataset: its dataset.
        gan: for designs; None without.
        popularity: what counting actions reaches: the bar that a model has to pass.
        model: of `run`.
        others: of the runs that it is compared with.
        ranks: of the run, of each held-out item of the evaluated users.
        num_testable: users with a test action, of which `model.per_user` has all or a sample.
    """

    run: Run
    dataset: PreparedDataset
    gan: GanRun | None
    popularity: ModelFigures
    model: ModelFigures
    others: tuple[ModelFigures, ...]
    ranks: Ranks
    num_testable: int

    @property
    def models(self) -> tuple[ModelFigures, ...]:
        """All of them, popularity first."""
        return (self.popularity, self.model, *self.others)

    @property
    def num_tested(self) -> int:
        """Users that were evaluated."""
        return len(self.model.per_user[f"recall@{K}"])

    def gain(self, metric: str) -> Interval | None:
        """A metric of the run minus that of popularity, with its 95 % paired bootstrap interval over users.

        None where no user has both.
        """
        differences = self.model.per_user[metric] - self.popularity.per_user[metric]
        differences = differences[~np.isnan(differences)]
        return mean_interval(differences) if len(differences) else None

    @cached_property
    def actions_per_user(self) -> npt.NDArray[np.int64]:
        """int64 [num_users], all parts of the split together."""
        return np.bincount(self.run.interactions.user_ids, minlength=self.run.interactions.num_users)

    @property
    def one_action_share(self) -> float:
        """Of the users, those with a single action, in [0, 1]."""
        return float((self.actions_per_user == 1).mean())

    @cached_property
    def history(self) -> pl.DataFrame:
        """A row an epoch; without rows for a model that is not trained in epochs."""
        path = self.run.path / HISTORY_NAME
        return pl.read_csv(path, glob=False) if path.is_file() and path.stat().st_size else pl.DataFrame()

    @property
    def validations(self) -> tuple[str, pl.DataFrame]:
        """The title of the metric that chose the epoch, and `epoch` and `value` of each validation; maybe no rows."""
        metric = self.run.config.stop_metric
        column, title = f"validation_{metric}", f"validation {metric_title(metric)}"
        if column not in self.history.columns:
            return title, pl.DataFrame({"epoch": [], "value": []})
        return title, self.history.select("epoch", value=column).drop_nulls("value")

    @cached_property
    def health(self) -> list[dict[str, str]]:
        """Severity, title and advice of each finding of the dataset's health report; empty where it has none."""
        path = self.dataset.path / HEALTH_NAME
        if not path.is_file() or path.stat().st_size > _MAX_HEALTH_BYTES:
            return []
        try:
            found = json.loads(path.read_text(encoding="utf-8"))["findings"]
            return [{key: str(row[key]) for key in ("severity", "title", "advice")} for row in found]
        except (ValueError, KeyError, TypeError):
            return []


def collect(run: Run, dataset: PreparedDataset, *, gan: GanRun | None = None, others: Sequence[Run] = ()) -> Facts:
    """Evaluates the run, popularity and the other runs on the same test actions.

    Raises:
        RunError: if no user has a test action, or a compared run is of another dataset.
    """
    fingerprint = run.manifest.dataset_fingerprint
    for other in others:
        if other.manifest.dataset_fingerprint != fingerprint:
            raise RunError(
                f"A compared run must be of the same dataset as {run.path}. {other.path} is of "
                f"{other.manifest.dataset}. Train it on the same prepared dataset."
            )
    interactions, num_testable = sample_users(run.interactions, Split.TEST)
    if not num_testable:
        raise RunError(
            f"{run.path} must have users with a test action. It has none: a user needs 3 actions. Prepare more data."
        )
    names = distinct_names([run.path, *(other.path for other in others)], taken=["popularity"])
    titles = [run_title(name, each.manifest.model) for name, each in zip(names, (run, *others), strict=True)]
    popularity, _ = _figures("popularity", popularity_factors(interactions), interactions)
    model, ranks = _figures(titles[0], run.factors, interactions)
    compared = tuple(
        _figures(title, other.factors, interactions)[0] for title, other in zip(titles[1:], others, strict=True)
    )
    return Facts(run, dataset, gan, popularity, model, compared, ranks, num_testable)


def _figures(name: str, factors: Factors, interactions: Interactions) -> tuple[ModelFigures, Ranks]:
    rankings = Rankings(factors, interactions, Split.TEST)
    table = per_user_metrics(rankings, METRICS)
    means = {metric: mean_of(table, metric) for metric in METRICS if metric in table.columns}
    values: dict[str, float | None] = {**means, **catalogue_metrics(rankings, METRICS)}
    per_user = {metric: table[metric].cast(pl.Float64).fill_null(np.nan).to_numpy() for metric in means}
    return ModelFigures(name, values, per_user), rankings.ranks


def category_of(run: Run, items: npt.NDArray[np.integer[Any]], allowed: Sequence[str]) -> str | None:
    """The most frequent category of items, of those that are allowed."""
    names = run.items.table["category"].gather(items).to_list()
    counted = [(names.count(name), name) for name in set(names) & set(allowed)]
    return max(counted)[1] if counted else None
