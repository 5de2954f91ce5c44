"""From a run to its figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from tfdvbpr.data.interactions import COLD_THRESHOLD, Interactions, Split
from tfdvbpr.errors import RunError, check_choice
from tfdvbpr.evaluation.ranking.legacy import legacy_sampled_auc
from tfdvbpr.evaluation.ranking.looks import looks_of
from tfdvbpr.evaluation.ranking.metrics import held_out_ranks
from tfdvbpr.evaluation.ranking.per_user import DEFAULT_K, metric_names, per_user_table, split_name
from tfdvbpr.evaluation.ranking.summary import column_mean, summarise
from tfdvbpr.evaluation.ranking.top_k import Lists, best_items, coverage
from tfdvbpr.files import whole_file, write_text
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.run import METRICS_NAME, Run

SPLITS = {"validation": Split.VALIDATION, "test": Split.TEST}


@dataclass(frozen=True)
class Evaluation:
    """What one look at a run gave.

    Attributes:
        figures: means over users, in the form of `metrics.json`.
        per_user: `user_id`, `num_held_out`, `num_cold` and a column a metric.
    """

    figures: dict[str, Any]
    per_user: pl.DataFrame


def evaluate_run(
    run: Run,
    *,
    split: str = "test",
    cold_threshold: int | None = None,
    k: int = DEFAULT_K,
    lists: bool = True,
    legacy_sampled: bool = False,
    seed: int = 0,
    dataset: Path | None = None,
) -> dict[str, Any]:
    """Exact figures of a run on one part of its split, also written into the run folder.

    metrics.json holds the figures, per_user-SPLIT.parquet those of every user before they are averaged.

    Args:
        run: a trained recommender.
        split: "validation" or "test".
        cold_threshold: an item with fewer training actions is cold; the paper's 5 when left out.
        k: where recall, NDCG and the like are cut off.
        lists: also make every user's list of k items, for novelty, diversity and coverage; on a large catalogue this
            takes longer than all other figures, as pictures have to be read.
        legacy_sampled: also estimate the AUC as the authors' code does.
        seed: of the bootstrap and of the sampled estimate.
        dataset: where the run's dataset lies now; where it cannot be found the visual diversity is None.

    Returns:
        `{"model", "dataset", "split", "num_users", "num_held_out", "num_cold", "auc": {"all", "cold", "warm"},
        "auc_interval", "recall@10", "hit_rate@10", "ndcg@10", "map@10", "mrr", "novelty@10", "diversity@10",
        "coverage@10"}`, the last three only with `lists`, and, if asked for, `"legacy_sampled"`.

    Raises:
        ConfigError: if there is no such part, or `k` is less than 1.
        RunError: if the part is empty.
        DatasetError: if `dataset` is not the one the run was trained on.
    """
    names = metric_names(k, lists=lists)
    return measure_and_write(
        run,
        names,
        split=split,
        cold_threshold=cold_threshold,
        legacy_sampled=legacy_sampled,
        seed=seed,
        dataset=dataset,
    ).figures


def measure_and_write(
    run: Run,
    names: Sequence[str],
    *,
    split: str = "test",
    cold_threshold: int | None = None,
    legacy_sampled: bool = False,
    seed: int = 0,
    dataset: Path | None = None,
) -> Evaluation:
    """The named figures of a run, written as `evaluate_run` writes them; arguments and errors are its own."""
    evaluation = measure(run, names, split=split, cold_threshold=cold_threshold, seed=seed, dataset=dataset)
    if legacy_sampled:
        threshold = COLD_THRESHOLD if cold_threshold is None else cold_threshold
        evaluation.figures["legacy_sampled"] = legacy_sampled_auc(
            run.factors, run.interactions, SPLITS[split], cold_threshold=threshold, seed=seed
        )
    with whole_file(run.path / per_user_name(split)) as scratch:
        evaluation.per_user.write_parquet(scratch)
    write_text(run.path / METRICS_NAME, json.dumps(evaluation.figures, indent=2) + "\n")
    return evaluation


def per_user_name(split: str) -> str:
    """The file of every user's figures in a run folder."""
    return f"per_user-{split}.parquet"


def measure(
    run: Run,
    names: Sequence[str],
    *,
    split: str = "test",
    cold_threshold: int | None = None,
    seed: int = 0,
    dataset: Path | None = None,
) -> Evaluation:
    """The named figures of a run, written nowhere; arguments and errors as of `evaluate_run`."""
    check_choice("split", split, SPLITS)
    kinds = {split_name(name)[0] for name in names}
    ranks = held_out_ranks(run.factors, run.interactions, SPLITS[split])
    if not len(ranks.user_ids):
        raise RunError(
            f"{run.path} must have users with a {split} action. It has none: a user needs 3 actions. Prepare more data."
        )

    @lru_cache
    def lists(k: int) -> Lists:
        return best_items(run.factors, run.interactions, SPLITS[split], k=k)

    table = per_user_table(
        ranks,
        run.interactions,
        names,
        cold_threshold=COLD_THRESHOLD if cold_threshold is None else cold_threshold,
        lists=lists,
        features=looks_of(run, dataset) if "diversity@k" in kinds else None,
    )
    about = {"model": run.manifest.model, "dataset": run.manifest.dataset, "split": split}
    figures = {**about, **summarise(table, seed=seed)}
    for k in {split_name(name)[1] for name in names if split_name(name)[0] == "novelty@k"}:
        figures[f"coverage@{k}"] = coverage(lists(k), num_items=run.manifest.num_items)
    return Evaluation(figures, _with_user_ids(table, run.user_ids))


def _with_user_ids(table: pl.DataFrame, user_ids: Sequence[str]) -> pl.DataFrame:
    ids = pl.Series("user_id", [user_ids[row] for row in table["user"]], dtype=pl.String)
    return table.drop("user").insert_column(0, ids)


def validation_figures(factors: Factors, interactions: Interactions) -> dict[str, float]:
    """`auc` and, where there are cold validation items, `auc_cold`: what training looks at between epochs."""
    ranks = held_out_ranks(factors, interactions, Split.VALIDATION)
    table = per_user_table(ranks, interactions, ("auc", "auc_cold"))
    figures = {name: column_mean(table, name) for name in ("auc", "auc_cold")}
    return {name: value for name, value in figures.items() if value is not None}
