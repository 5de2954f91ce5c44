"""From one row a user to the figures of `metrics.json`."""

from __future__ import annotations

from typing import Any

import polars as pl

from tfdvbpr.data.interactions import COLD_THRESHOLD, Interactions
from tfdvbpr.evaluation.ranking.metrics import Ranks
from tfdvbpr.evaluation.ranking.per_user import AREAS, DEFAULT_K, metric_names, per_user_table
from tfdvbpr.evaluation.ranking.significance import mean_interval

_KEYS = {"auc": "all", "auc_cold": "cold", "auc_warm": "warm"}


def column_mean(table: pl.DataFrame, name: str) -> float | None:
    """Mean over the users that have the figure, None without any."""
    values = table[name].drop_nulls()
    return float(values.to_numpy().mean()) if len(values) else None


def summarise(table: pl.DataFrame, *, seed: int = 0) -> dict[str, Any]:
    """Means over users, in the form of `metrics.json`.

    Args:
        table: from `per_user_table`.
        seed: of the bootstrap.

    Returns:
        `num_users`; `num_held_out`, actions; `num_cold`, users with a cold held-out item; `auc` and `auc_interval` with
        `all`, `cold` and `warm` (a mean, and its 95 % interval [low, high]; None where no held-out item is of the
        kind); and one mean a further metric.
    """
    areas = [name for name in AREAS if name in table.columns]
    others = [name for name in table.columns[3:] if name not in AREAS]
    figures: dict[str, Any] = {
        "num_users": table.height,
        "num_held_out": int(table["num_held_out"].sum()),
        "num_cold": int((table["num_cold"] > 0).sum()),
        "auc": {_KEYS[name]: column_mean(table, name) for name in areas},
        "auc_interval": {_KEYS[name]: _interval(table[name].drop_nulls(), seed) for name in areas},
    }
    return {**figures, **{name: column_mean(table, name) for name in others}}


def summary(
    ranks: Ranks, interactions: Interactions, *, k: int = DEFAULT_K, cold_threshold: int = COLD_THRESHOLD
) -> dict[str, Any]:
    """Means over users of everything that ranks tell; the figures of lists need more, see `evaluate.measure`."""
    names = metric_names(k, lists=False)
    return summarise(per_user_table(ranks, interactions, names, cold_threshold=cold_threshold))


def _interval(values: pl.Series, seed: int) -> list[float] | None:
    if not len(values):
        return None
    interval = mean_interval(values.to_numpy(), seed=seed)
    return [interval.low, interval.high]
