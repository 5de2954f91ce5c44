"""One row a user: every figure before it is averaged, as tests of significance and readers of parquet want it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tfdvbpr.data.interactions import COLD_THRESHOLD, Interactions
from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.ranking.metrics import METRICS, Figures, Ranks, auc
from tfdvbpr.evaluation.ranking.top_k import Features, Lists, diversity, novelty

AREAS = ("auc", "auc_cold", "auc_warm")
LIST_METRICS = ("novelty@k", "diversity@k")
DEFAULT_K = 10

_NAME = re.compile(r"([a-z_]+)(?:@(\d+))?")


def split_name(name: str) -> tuple[str, int]:
    """("recall@k", 10) of "recall@10"; 0 stands for the k of a metric without one.

    Raises:
        ConfigError: if there is no such metric.
    """
    match = _NAME.fullmatch(name)
    kind, k = (match[1] + "@k" * bool(match[2]), int(match[2] or 0)) if match else (name, 0)
    if kind not in (*AREAS, *METRICS, *LIST_METRICS) or ("@k" in kind and k < 1):
        known = ", ".join([*AREAS, *(metric.replace("@k", "@10") for metric in (*METRICS, *LIST_METRICS)[1:])])
        raise ConfigError(f"A metric must be one of {known}, with any number in the place of 10. Received {name!r}.")
    return kind, k


def metric_names(k: int = DEFAULT_K, *, lists: bool = True) -> tuple[str, ...]:
    """The names of every figure a user has, cut off at k; with or without those of lists.

    Raises:
        ConfigError: if `k` is less than 1.
    """
    if k < 1:
        raise ConfigError(f"`k` must be at least 1. Received {k}.")
    kinds = (*AREAS, *(name for name in METRICS if name != "auc"), *(LIST_METRICS if lists else ()))
    return tuple(kind.replace("@k", f"@{k}") for kind in kinds)


def per_user_table(
    ranks: Ranks,
    interactions: Interactions,
    names: Sequence[str],
    *,
    cold_threshold: int = COLD_THRESHOLD,
    lists: Callable[[int], Lists] | None = None,
    features: Features | None = None,
) -> pl.DataFrame:
    """The named figures of every user with a held-out item, users ascending.

    Args:
        ranks: from `held_out_ranks`.
        interactions: of the dataset.
        names: metrics, such as "auc_cold" or "recall@10".
        cold_threshold: a held-out item with fewer training actions is cold.
        lists: the users' k best items, by k; for the metrics of lists.
        features: what `diversity` measures looks by; left out, it is null.

    Returns:
        `user` (int32 row), `num_held_out`, `num_cold` (int32) and a float64 column a name, null where a user has no
        such figure.

    Raises:
        ConfigError: if there is no such metric.
    """
    kinds = [split_name(name) for name in names]
    cold = interactions.cold_items(cold_threshold)[ranks.item_ids]
    among = {"auc_cold": cold, "auc_warm": ~cold}
    users, owner = np.unique(ranks.user_ids, return_inverse=True)
    columns: dict[str, npt.NDArray[Any]] = {
        "user": users,
        "num_held_out": np.bincount(owner, minlength=len(users)).astype(np.int32),
        "num_cold": np.bincount(owner[cold], minlength=len(users)).astype(np.int32),
    }
    for name, (kind, k) in zip(names, kinds, strict=True):
        if kind in LIST_METRICS:
            columns[name] = _of_lists(kind, k, interactions, lists, features, len(users))
        else:
            columns[name] = auc(ranks, among=among[kind]) if kind in among else METRICS[kind](ranks, k)
    return pl.DataFrame(columns, nan_to_null=True)


def _of_lists(
    kind: str,
    k: int,
    interactions: Interactions,
    lists: Callable[[int], Lists] | None,
    features: Features | None,
    num_users: int,
) -> Figures:
    if lists is None or (kind == "diversity@k" and features is None):
        return np.full(num_users, np.nan)
    if features is not None and kind == "diversity@k":
        return diversity(lists(k), features)
    return novelty(lists(k), interactions.training_counts)
