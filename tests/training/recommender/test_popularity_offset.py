"""What scores are given for an item's popularity while training, and not afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.models.recommenders.fold_in import FoldIn
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.recommender.data import TrainingData
from tfdvbpr.training.recommender.objective import RankingObjective
from tfdvbpr.training.recommender.step import RecommenderTrainer
from tfdvbpr.training.recommender.train import train_recommender

pytestmark = pytest.mark.usefixtures("tiny_backbone")


def _trainer(dataset: PreparedDataset, *, batching: str) -> RecommenderTrainer:
    config = recommender_config(
        "dvbpr",
        batching=batching,
        user_embeddings="free",
        embedding_dim=4,
        global_batch_size=8,
        dropout=0.0,
    )
    return RecommenderTrainer(TrainingData.from_dataset(dataset, config), config, make_strategy("one-device"))


def test_golden_offsets() -> None:
    """Item 0 has three training actions, item 1 none: its one action is held out."""
    users, items = np.array([0, 1, 2, 0], np.int32), np.array([0, 0, 0, 1], np.int32)
    splits = np.array([Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.TEST], np.uint8)
    offsets = Interactions(users, items, splits, 3, 2).popularity_offsets(0.5)
    np.testing.assert_allclose(offsets, [0.5 * np.log(4.0), 0.0], rtol=1e-6)


@pytest.mark.parametrize("batching", ["shared-item", "triplet"])
def test_the_loss_is_that_of_shifted_scores(checkerboard_dataset: PreparedDataset, batching: str) -> None:
    """With every embedding 0, a margin is the difference of the offsets alone."""
    trainer = _trainer(checkerboard_dataset, batching=batching)
    trainer.model.user_embeddings.assign(np.zeros(trainer.model.user_embeddings.shape, np.float32))
    offsets = np.linspace(0.0, 2.0, checkerboard_dataset.manifest.num_items, dtype=np.float32)
    objective = RankingObjective(
        trainer.model, trainer.config, num_replicas=1, global_batch_size=8, item_offsets=offsets
    )
    (part,) = next(iter(trainer.batches.epoch(0)))
    ranking, _ = objective({name: tf.convert_to_tensor(array) for name, array in part.items()})
    if batching == "triplet":
        margins = offsets[part["positive_item_ids"]][:, None] - offsets[part["negative_item_ids"]]
        expected = np.log1p(np.exp(-margins)).mean()
    else:
        drawn = offsets[part["item_ids"]]
        losses = np.log1p(np.exp(drawn[None, :] - drawn[part["positive_index"]][:, None]))
        negative = part["is_negative"].astype(float)
        weights = part["weights"] / part["total_weight"]
        expected = float(np.sum(weights * (losses * negative).sum(axis=1) / np.maximum(negative.sum(axis=1), 1)))
    assert float(ranking) == pytest.approx(float(expected), rel=1e-5)


def test_a_trained_model_scores_without_it(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    config = recommender_config("dvbpr", epochs=1, embedding_dim=4, global_batch_size=8, popularity_offset=1.0)
    run = train_recommender(checkerboard_dataset, config, tmp_path / "run")
    assert not run.factors.item_biases.any()


def test_fold_in_fits_with_it() -> None:
    """Two mirrored items, one far more popular: liking it says less than liking the other."""
    factors = Factors(np.zeros((1, 1), np.float32), np.array([[1.0], [-1.0]], np.float32), np.zeros(2, np.float32))
    fold = FoldIn.from_fit(factors, user_l2=0.1, offsets=np.array([2.0, 0.0], np.float32))
    popular, rare = fold([np.array([0], np.int32), np.array([1], np.int32)])[:, 0]
    plain = FoldIn.from_fit(factors, user_l2=0.1)([np.array([0], np.int32)])[0, 0]
    assert 0 < popular < plain < -rare
