from __future__ import annotations

from pathlib import Path

import pytest

from tfdvbpr.data.batches.samplers import SAMPLERS
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Split
from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.ranking.evaluate import mean_metrics
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.recommender.train import train_recommender


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_teaches(sampler: str, checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    values = {"embedding_dim": 4, "global_batch_size": 16, "epochs": 25, "num_negatives": 2}
    config = recommender_config("bpr-mf", sampler=sampler, **values)
    run = train_recommender(checkerboard_dataset, config, tmp_path / "run")
    assert mean_metrics(run.factors, checkerboard_dataset.interactions, Split.TEST)["auc"] > 0.95


def test_siamese_pairs_need_triplets(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    config = recommender_config("siamese", batching="shared-item")
    with pytest.raises(ConfigError, match="siamese model must be triplet"):
        train_recommender(checkerboard_dataset, config, tmp_path / "run")
