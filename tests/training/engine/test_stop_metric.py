"""Which epoch is kept: the one with the best `stop_metric`, whatever the other metrics say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Interactions
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.training.recommender.train import train_recommender

RECALLS = (0.1, 0.5, 0.3, 0.2, 0.1, 0.0)


class Scripted:
    """Validation whose recall is best in the second epoch and whose AUC rises throughout."""

    def __init__(self) -> None:
        self.seen: list[Factors] = []

    def __call__(self, factors: Factors, interactions: Interactions) -> dict[str, float]:
        self.seen.append(factors)
        return {"auc": 0.5 + 0.01 * len(self.seen), "recall@10": RECALLS[len(self.seen) - 1]}


def _config(**values: object) -> object:
    chosen = {"epochs": 6, "embedding_dim": 4, "global_batch_size": 24, "evaluate_every": 1, "patience": 0}
    return recommender_config("bpr-mf", **{**chosen, **values})


@pytest.mark.parametrize(("stop_metric", "kept"), [("auc", 5), ("recall@10", 1)])
def test_the_epoch_with_the_best_stop_metric_is_kept(
    checkerboard_dataset: PreparedDataset, tmp_path: Path, stop_metric: str, kept: int
) -> None:
    validate = Scripted()
    config = _config(stop_metric=stop_metric)
    run = train_recommender(checkerboard_dataset, config, tmp_path / "run", validate=validate)
    assert len(validate.seen) == 6
    np.testing.assert_array_equal(run.factors.item_embeddings, validate.seen[kept].item_embeddings)
    assert np.any(validate.seen[1].item_embeddings != validate.seen[5].item_embeddings)


def test_patience_counts_by_the_stop_metric(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    validate = Scripted()
    config = _config(stop_metric="recall@10", patience=2)
    train_recommender(checkerboard_dataset, config, tmp_path / "run", validate=validate)
    assert len(validate.seen) == 4  # two validations after the best, which was the second


def test_a_stop_metric_without_a_value_is_refused(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No validation user has a value of auc_cold"):
        train_recommender(checkerboard_dataset, _config(stop_metric="auc_cold"), tmp_path / "run", validate=Scripted())
