"""Evaluates a run: a value of every metric for each user, and their means."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.errors import ConfigError, DatasetError, RunError, check_choice
from tfdvbpr.evaluation.ranking.metrics import Rankings, find_metric, metric_names, metric_title
from tfdvbpr.evaluation.ranking.significance import mean_interval
from tfdvbpr.evaluation.ranking.top_k import ItemFeatures
from tfdvbpr.files import whole_file, write_text
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.run import Run
from tfdvbpr.run.folder import METRICS_NAME
from tfdvbpr.run.names import run_title

SPLITS = {"validation": Split.VALIDATION, "test": Split.TEST}
# The AUCs stand together in metrics.json.
_ABOUT = ("run", "model", "dataset", "split", "num_users", "num_held_out", "num_cold", "auc", "auc_interval")
_AUC_KEYS = {"auc": "all", "auc_cold": "cold", "auc_warm": "warm"}


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a run on one part of its split.

    Attributes:
        metrics: means over users, in the form of `metrics.json`.
        per_user: `user_id`, `num_held_out`, `num_cold` and a column a metric.
    """

    metrics: dict[str, Any]
    per_user: pl.DataFrame


def evaluate_run(
    run: Run,
    names: Sequence[str] | None = None,
    *,
    split: str = "test",
    dataset: Path | None = None,
) -> Evaluation:
    """Computes metrics of a run and writes them into its folder; arguments and errors as of `tfdvbpr.evaluate`."""
    evaluation = compute_metrics(run, names, split=split, dataset=dataset)
    with whole_file(run.path / f"per_user-{split}.parquet") as scratch:
        evaluation.per_user.write_parquet(scratch)
    write_text(run.path / METRICS_NAME, json.dumps(evaluation.metrics, indent=2) + "\n")
    return evaluation


def compute_metrics(
    run: Run, names: Sequence[str] | None = None, *, split: str = "test", dataset: Path | None = None
) -> Evaluation:
    """Computes metrics of a run and writes nothing; arguments and errors are those of `tfdvbpr.evaluate`."""
    check_choice("split", split, SPLITS)
    names = metric_names() if names is None else tuple(names)
    for name in names:
        find_metric(name)
    rankings = Rankings(
        run.factors, run.interactions, SPLITS[split], find_features=lambda: _item_features(run, dataset)
    )
    if not len(rankings.users):
        raise RunError(
            f"{run.path} must have users with a {split} action. It has none: a user needs 3 actions. Prepare more data."
        )
    table = per_user_metrics(rankings, names)
    name = run.path.resolve().name
    about = {"run": name, "model": run.manifest.model, "dataset": run.manifest.dataset, "split": split}
    metrics = {**about, **summarise(table), **catalogue_metrics(rankings, names)}
    user_ids = pl.Series("user_id", [run.user_ids[row] for row in table["user"]], dtype=pl.String)
    return Evaluation(metrics, table.drop("user").insert_column(0, user_ids))


def per_user_metrics(rankings: Rankings, names: Sequence[str]) -> pl.DataFrame:
    """Computes the named metrics, but for those of the catalogue, for every user with a held-out item, users ascending.

    Returns:
        `user` (int32 row), `num_held_out`, `num_cold` (int32) and a float64 column a metric, null where a user does not
        have the value.

    Raises:
        ConfigError: if there is no such metric.
    """
    users, owner = np.unique(rankings.ranks.user_ids, return_inverse=True)
    columns: dict[str, Any] = {
        "user": users,
        "num_held_out": np.bincount(owner, minlength=len(users)).astype(np.int32),
        "num_cold": np.bincount(owner[rankings.cold], minlength=len(users)).astype(np.int32),
    }
    for name in names:
        metric, k = find_metric(name)
        if metric.per_user:
            columns[name] = metric.compute(rankings, k)
    return pl.DataFrame(columns, nan_to_null=True)


def catalogue_metrics(rankings: Rankings, names: Sequence[str]) -> dict[str, float]:
    """Computes those of the named metrics that are one number of the whole catalogue, such as "coverage@10"."""
    found = {name: find_metric(name) for name in names}
    return {name: float(metric.compute(rankings, k)) for name, (metric, k) in found.items() if not metric.per_user}


def summarise(table: pl.DataFrame) -> dict[str, Any]:
    """Means over users, in the form of `metrics.json`, from the table of `per_user_metrics`.

    Returns:
        `num_users`; `num_held_out`, actions; `num_cold`, users with a cold held-out item; `auc` and `auc_interval` with
        `all`, `cold` and `warm` (a mean, and its 95 % interval [low, high]; None where no held-out item is of the
        kind); and one mean a further metric.
    """
    aucs = {name: key for name, key in _AUC_KEYS.items() if name in table.columns}
    return {
        "num_users": table.height,
        "num_held_out": int(table["num_held_out"].sum()),
        "num_cold": int((table["num_cold"] > 0).sum()),
        "auc": {key: mean_of(table, name) for name, key in aucs.items()},
        "auc_interval": {key: _interval(table[name].drop_nulls()) for name, key in aucs.items()},
        **{name: mean_of(table, name) for name in table.columns[3:] if name not in aucs},
    }


def mean_of(table: pl.DataFrame, name: str) -> float | None:
    """Mean over the users that have the value, None without any."""
    values = table[name].drop_nulls()
    return float(values.to_numpy().mean()) if len(values) else None


def _interval(values: pl.Series) -> list[float] | None:
    if not len(values):
        return None
    interval = mean_interval(values.to_numpy())
    return [interval.low, interval.high]


def mean_metrics(
    factors: Factors, interactions: Interactions, split: Split, names: Sequence[str] = ("auc", "auc_cold")
) -> dict[str, float]:
    """Means over users of the named metrics, those that no user has left out."""
    table = per_user_metrics(Rankings(factors, interactions, split), names)
    means = {name: mean_of(table, name) for name in names}
    return {name: value for name, value in means.items() if value is not None}


def validation_metrics(factors: Factors, interactions: Interactions, *, stop_metric: str = "auc") -> dict[str, float]:
    """What training evaluates between epochs: `auc`, `auc_cold` where there are cold items, and `stop_metric`."""
    names = tuple(dict.fromkeys(("auc", "auc_cold", stop_metric)))
    return mean_metrics(factors, interactions, Split.VALIDATION, names)


def check_stop_metric(name: str) -> None:
    """Refuse a metric that cannot tell which epoch is the best.

    Raises:
        ConfigError: if there is no such metric, or higher values of it are not better.
    """
    metric, _ = find_metric(name)
    if not (metric.per_user and metric.higher_is_better):
        raise ConfigError(
            "`stop_metric` must be a metric of users whose higher values are better, such as recall@10. "
            f"Received {name!r}."
        )


def table_rows(evaluations: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text: a metric a row, a run a column, from evaluations in the form of
    `metrics.json`, whose names under "run" are distinct."""
    first = evaluations[0]
    rows = [["users", *(str(each["num_users"]) for each in evaluations)]]
    for name, key in _AUC_KEYS.items():
        if key in first["auc"]:
            rows.append([metric_title(name), *(metric_text(name, each["auc"][key]) for each in evaluations)])
            rows.append(["  95 %", *(interval_text(each["auc_interval"][key]) for each in evaluations)])
    for name in filter(is_metric, first):
        rows.append([metric_title(name), *(metric_text(name, each.get(name)) for each in evaluations)])
    return ["", *(run_title(each["run"], each["model"]) for each in evaluations)], rows


def is_metric(name: str) -> bool:
    """Whether a name of `metrics.json` is that of one metric, such as "recall@10"; the AUCs are together in "auc"."""
    return name not in _ABOUT


def metric_text(name: str, value: float | None) -> str:
    """A metric's value as text, a dash where there is none."""
    return "–" if value is None else find_metric(name)[0].text(value)


def interval_text(ends: Sequence[float] | None) -> str:
    """The ends of a confidence interval as text, a dash where there is none."""
    return "–" if ends is None else f"{ends[0]:.3f}–{ends[1]:.3f}"


def _item_features(run: Run, dataset: Path | None) -> ItemFeatures | None:
    """Features of a run's catalogue; None if its dataset is not found and `dataset` does not say where it lies."""
    try:
        opened = run.open_dataset(dataset)
    except DatasetError:
        if dataset is not None:
            raise
        return None
    return _cached_features(str(opened.path.resolve()), opened.manifest.fingerprint)


@lru_cache(maxsize=1)
def _cached_features(path: str, fingerprint: str) -> ItemFeatures:
    """One catalogue is kept, for the next run on it."""
    return ItemFeatures(PreparedDataset.open(path))
