"""The checkerboard: users like items of their own parity, which is the picture's colour; the diagonals are held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tfdvbpr.data.batches.samplers import SAMPLERS
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Split
from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.ranking.evaluate import mean_metrics
from tfdvbpr.losses.ranking import RANKING_LOSSES
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.recommender.train import train_recommender


def _test_auc(dataset: PreparedDataset, output: Path, model: str, **values: Any) -> float:
    settings = {"embedding_dim": 4, "global_batch_size": 16, "epochs": 25, "backbone_l2": 0.0}
    config = recommender_config(model, **{**settings, **values})
    run = train_recommender(dataset, config, output)
    return mean_metrics(run.factors, dataset.interactions, Split.TEST)["auc"]


@pytest.mark.parametrize("loss", RANKING_LOSSES)
def test_every_loss_teaches(loss: str, checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    values = {"batching": "shared-item", "item_l2": 0.0}
    assert _test_auc(checkerboard_dataset, tmp_path / "run", "bpr-mf", loss=loss, **values) > 0.95


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_teaches(sampler: str, checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    assert _test_auc(checkerboard_dataset, tmp_path / "run", "bpr-mf", sampler=sampler, num_negatives=2) > 0.95


def test_siamese_pairs_need_triplets(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    config = recommender_config("siamese", batching="shared-item")
    with pytest.raises(ConfigError, match="siamese model must be triplet"):
        train_recommender(checkerboard_dataset, config, tmp_path / "run")
