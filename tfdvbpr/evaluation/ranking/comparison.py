"""Several runs on one split, side by side, with what is chance and what is not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.evaluation.ranking.evaluate import Evaluation, measure
from tfdvbpr.evaluation.ranking.per_user import LIST_METRICS, split_name
from tfdvbpr.evaluation.ranking.significance import Values, holm, percentile_interval, resampled_means, wilcoxon
from tfdvbpr.run import Run

DEFAULT_METRICS = ("auc", "auc_cold", "recall@10", "ndcg@10")
ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """Figures of several models on one split, and every pair of them held against each other.

    Attributes:
        dataset: its name.
        split: "validation" or "test".
        models: labels, in the order given.
        metrics: their names, in the order given.
        figures: a row a model and metric: `model`, `metric`, `seeds` (runs behind it), `users`, `mean`, `low`, `high`
            (95 % interval over users, of the mean over seeds), `seed_sd` (standard deviation of the runs' means, null
            with one run), `best` (higher than every other model with an adjusted p-value below 0.05).
        pairs: a row a metric and pair: `metric`, `first`, `second`, `users`, `difference`, `low`, `high` (paired
            bootstrap), `p_value` (Wilcoxon's signed-rank test), `adjusted` (Holm, over all rows of this table) and
            `winner` (the model for which both mean and ranks speak, where `adjusted` is below 0.05; else null).
    """

    dataset: str
    split: str
    models: tuple[str, ...]
    metrics: tuple[str, ...]
    figures: pl.DataFrame
    pairs: pl.DataFrame

    def cell(self, model: str, metric: str) -> dict[str, Any]:
        """The row of `figures` of a model and a metric."""
        return self.figures.row(by_predicate=(pl.col("model") == model) & (pl.col("metric") == metric), named=True)


def compare_runs(
    groups: Mapping[str, Sequence[Run]],
    *,
    split: str = "test",
    metrics: Sequence[str] = DEFAULT_METRICS,
    cold_threshold: int | None = None,
    seed: int = 0,
) -> Comparison:
    """Measures every run and compares the groups, writing nothing.

    Args:
        groups: runs by label. The runs of a group are one model trained with several seeds: a user's figure is the mean
            over them before anything is tested.
        split: "validation" or "test".
        metrics: such as "auc_cold" or "recall@10".
        cold_threshold: an item with fewer training actions is cold; the paper's 5 when left out.
        seed: of the bootstrap.

    Raises:
        ConfigError: if there is no such metric or part.
        RunError: if the runs are of different datasets or splits, or the part is empty.
    """
    names = _checked(metrics)
    _check_same([run for runs in groups.values() for run in runs])
    measured = {
        label: [measure(run, names, split=split, cold_threshold=cold_threshold) for run in runs]
        for label, runs in groups.items()
    }
    return compare_evaluations(measured, names, seed=seed)


def compare_evaluations(
    groups: Mapping[str, Sequence[Evaluation]], metrics: Sequence[str], *, seed: int = 0
) -> Comparison:
    """Compares what was measured on one split already; arguments as of `compare_runs`."""
    names = _checked(metrics)
    first = next(iter(groups.values()))[0].figures
    rows: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for name in names:
        values = np.stack([_over_seeds(group, name) for group in groups.values()], axis=1)
        drawn = resampled_means(values, seed=seed) if len(values) else values
        pairs += _pairs(name, tuple(groups), values, drawn)
        rows += [
            _figures(name, label, group, values[:, column], drawn[:, column])
            for column, (label, group) in enumerate(groups.items())
        ]
    for row, adjusted in zip(pairs, holm([row["p_value"] for row in pairs]), strict=True):
        row["adjusted"] = float(adjusted)
        row["winner"] = row["winner"] if adjusted < ALPHA else None
    for row in rows:
        row["best"] = _is_best(row, pairs)
    return Comparison(
        first["dataset"],
        first["split"],
        tuple(groups),
        names,
        pl.DataFrame(rows, _FIGURES),
        pl.DataFrame(pairs, _PAIRS),
    )


_FIGURES = {
    "model": pl.String,
    "metric": pl.String,
    "seeds": pl.Int64,
    "users": pl.Int64,
    "mean": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "seed_sd": pl.Float64,
    "best": pl.Boolean,
}
_PAIRS = {
    "metric": pl.String,
    "first": pl.String,
    "second": pl.String,
    "users": pl.Int64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p_value": pl.Float64,
    "adjusted": pl.Float64,
    "winner": pl.String,
}


def _checked(metrics: Sequence[str]) -> tuple[str, ...]:
    if not metrics:
        raise ConfigError("`metrics` must name at least one. Received none.")
    for name in metrics:
        split_name(name)
    return tuple(dict.fromkeys(metrics))


def _check_same(runs: Sequence[Run]) -> None:
    """Refuses runs that were not trained and held out alike."""
    if not runs:
        raise RunError("A comparison must have at least one run. Received none.")
    first, kept = runs[0], runs[0].interactions
    for run in runs[1:]:
        about, other = first.manifest, run.manifest
        if about.dataset_fingerprint != other.dataset_fingerprint:
            raise RunError(
                f"Runs must be of one dataset to be compared. {first.path} is of {about.dataset} "
                f"({about.dataset_fingerprint}), {run.path} of {other.dataset} ({other.dataset_fingerprint}). "
                "Train them on the same prepared dataset."
            )
        mine = run.interactions
        if not all(
            np.array_equal(getattr(kept, name), getattr(mine, name)) for name in ("user_ids", "item_ids", "splits")
        ):
            raise RunError(
                f"Runs must hold out the same actions to be compared. {first.path} and {run.path} do not. "
                "Train them on the same prepared dataset."
            )


def _over_seeds(group: Sequence[Evaluation], name: str) -> Values:
    """float64 [U]: each user's mean over the runs of a group, users without the figure left out."""
    columns = [evaluation.per_user[name].drop_nulls().to_numpy() for evaluation in group]
    means: Values = np.mean(columns, axis=0)
    return means


def _pairs(name: str, labels: Sequence[str], values: Values, drawn: Values) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for first, second in combinations(range(len(labels)) if len(values) else (), 2):
        difference = values[:, first] - values[:, second]
        interval = percentile_interval(float(difference.mean()), drawn[:, first] - drawn[:, second])
        test = wilcoxon(values[:, first], values[:, second])
        agreed = test.direction if test.direction * interval.mean > 0 else 0
        rows.append(
            {
                "metric": name,
                "first": labels[first],
                "second": labels[second],
                "users": len(values),
                "difference": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "p_value": test.p_value,
                "winner": {1: labels[first], -1: labels[second], 0: None}[agreed],
            }
        )
    return rows


def _figures(name: str, label: str, group: Sequence[Evaluation], values: Values, drawn: Values) -> dict[str, Any]:
    row: dict[str, Any] = {"model": label, "metric": name, "seeds": len(group), "users": len(values)}
    if not len(values):
        return row
    interval = percentile_interval(float(values.mean()), drawn)
    means = [float(evaluation.per_user[name].drop_nulls().to_numpy().mean()) for evaluation in group]
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else None
    return {**row, "mean": interval.mean, "low": interval.low, "high": interval.high, "seed_sd": spread}


def _is_best(row: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the row's model wins every pair it is in; more novel or more diverse is other, not better."""
    if split_name(row["metric"])[0] in LIST_METRICS:
        return False
    winners = [
        pair["winner"]
        for pair in pairs
        if pair["metric"] == row["metric"] and row["model"] in (pair["first"], pair["second"])
    ]
    return bool(winners) and all(winner == row["model"] for winner in winners)


def group_by_seed(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs that differ in nothing but the seed, together; labelled by model and by what sets its groups apart."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.config.model_dump(mode="json", exclude={"seed"})), []).append(run)
    labelled: dict[str, list[Run]] = {}
    configs = [json.loads(key) for key in groups]
    for config, group in zip(configs, groups.values(), strict=True):
        alike = [other for other in configs if other["model"] == config["model"]]
        apart = [key for key, value in config.items() if any(other[key] != value for other in alike)]
        label = config["model"] + (f" ({', '.join(f'{key}={config[key]}' for key in apart)})" if apart else "")
        labelled[label] = group
    return labelled
