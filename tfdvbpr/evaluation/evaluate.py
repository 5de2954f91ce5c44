"""From a run to its figures."""

from __future__ import annotations

import json
from typing import Any

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.evaluation.ranking import held_out_ranks, summary
from tfdvbpr.files import write_text
from tfdvbpr.models.factors import Factors
from tfdvbpr.run import METRICS_NAME, Run

SPLITS = {"validation": Split.VALIDATION, "test": Split.TEST}


def evaluate_run(run: Run, *, split: str = "test", cold_threshold: int | None = None) -> dict[str, Any]:
    """Exact figures of a run on one part of its split, also written to the run's metrics.json.

    Args:
        run: a trained recommender.
        split: "validation" or "test".
        cold_threshold: an item with fewer training actions is cold; the paper's 5 when left out.

    Returns:
        `{"model", "dataset", "split", "num_users", "num_cold", "auc": {"all", "cold"}, "recall@10", "ndcg@10", "mrr"}`.

    Raises:
        ConfigError: if there is no such part.
        RunError: if the part is empty.
    """
    if split not in SPLITS:
        raise ConfigError(f"`split` must be one of {', '.join(SPLITS)}. Received {split!r}.")
    options = {} if cold_threshold is None else {"cold_threshold": cold_threshold}
    ranks = held_out_ranks(run.factors, run.interactions, SPLITS[split])
    if not len(ranks.user_ids):
        raise RunError(
            f"{run.path} must have users with a {split} action. It has none: a user needs 3 actions. Prepare more data."
        )
    about = {"model": run.manifest.model, "dataset": run.manifest.dataset, "split": split}
    figures = {**about, **summary(ranks, run.interactions, **options)}
    write_text(run.path / METRICS_NAME, json.dumps(figures, indent=2) + "\n")
    return figures


def validation_figures(factors: Factors, interactions: Interactions) -> dict[str, float]:
    """`auc` and, where there are cold validation items, `auc_cold`: what training looks at between epochs."""
    figures = summary(held_out_ranks(factors, interactions, Split.VALIDATION), interactions)
    areas = {"auc": figures["auc"]["all"], "auc_cold": figures["auc"]["cold"]}
    return {name: value for name, value in areas.items() if value is not None}
