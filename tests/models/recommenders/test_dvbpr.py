from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.models.recommenders.dvbpr import SHRINKAGE, UserProfiles
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.recommender.data import TrainingData
from tfdvbpr.training.recommender.train import RecommenderTrainer, train_recommender

# User 0 acted on items 0 and 1, user 1 on item 1; item 3 is user 1's validation item, item 2 is nobody's.
ACTIONS = Interactions(
    np.array([0, 0, 1, 1], np.int32),
    np.array([0, 1, 1, 3], np.int32),
    np.array([Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.VALIDATION], np.uint8),
    2,
    4,
)
EMBEDDINGS = np.array([[1.0, 10.0], [3.0, 30.0], [5.0, 10.0], [2.0, 40.0]], np.float32)


def test_golden_means() -> None:
    """Items 0 and 1 have mean (2, 20) and deviation (1, 10), which makes them (−1, −1) and (1, 1); κ is 1."""
    profiles = UserProfiles.estimate(EMBEDDINGS, ACTIONS)
    np.testing.assert_allclose(profiles.items, [[-1, -1], [1, 1], [3, -1], [0, 2]], atol=1e-6)
    np.testing.assert_allclose(profiles.means(), [[0, 0], [0.5, 0.5]], atol=1e-6)


def test_golden_means_without_an_item() -> None:
    profiles = UserProfiles.estimate(EMBEDDINGS, ACTIONS)
    without = profiles.means_without(np.array([0, 0, 1], np.int32), np.array([0, 1, 1], np.int32))
    np.testing.assert_allclose(without, [[0.5, 0.5], [-0.5, -0.5], [0, 0]], atol=1e-6)


@pytest.fixture
def trainer(checkerboard_dataset: PreparedDataset, request: pytest.FixtureRequest) -> RecommenderTrainer:
    config = recommender_config(
        "dvbpr", batching=request.param, user_embeddings="leave-one-out", embedding_dim=4, global_batch_size=8
    )
    return RecommenderTrainer(
        TrainingData.from_dataset(checkerboard_dataset, config), config, make_strategy("one-device")
    )


@pytest.mark.parametrize("trainer", ["shared-item", "triplet"], indirect=True)
def test_batches_hold_the_profile_without_the_ranked_item(
    trainer: RecommenderTrainer, checkerboard_dataset: PreparedDataset
) -> None:
    """Worked out anew from each user's list of training items."""
    interactions = checkerboard_dataset.interactions
    items = UserProfiles.estimate(trainer.factors().item_embeddings, interactions).items
    liked = [set(interactions.training_matrix[user].indices) for user in range(interactions.num_users)]
    checked = 0
    for parts in trainer.batches.epoch(0):
        (part,) = parts
        if "item_ids" in part:
            ranked, counted = part["item_ids"][part["positive_index"]], part["weights"] > 0
        else:
            ranked, counted = part["positive_item_ids"], np.ones(len(part["user_ids"]), bool)
        for row in np.flatnonzero(counted):
            others = sorted(liked[part["user_ids"][row]] - {ranked[row]})
            expected = items[others].sum(axis=0) / (len(others) + SHRINKAGE)
            np.testing.assert_allclose(part["user_profiles"][row], expected, atol=1e-4)
            checked += 1
    assert checked > 20


def test_a_trained_runs_users_are_their_shrunk_means(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    config = recommender_config(
        "dvbpr", user_embeddings="leave-one-out", epochs=2, embedding_dim=4, global_batch_size=8
    )
    run = train_recommender(checkerboard_dataset, config, tmp_path / "run")
    means = UserProfiles.estimate(run.factors.item_embeddings, checkerboard_dataset.interactions).means()
    prior, scale = run.recommender.profile_prior.numpy(), np.exp(run.recommender.profile_log_scale.numpy())
    assert np.abs(prior).max() > 0
    np.testing.assert_allclose(run.factors.user_embeddings, prior + scale * means, atol=1e-4)
    np.testing.assert_allclose(run.recommender.user_embeddings.numpy(), run.factors.user_embeddings, atol=1e-6)


def test_free_user_embeddings_are_trained(checkerboard_dataset: PreparedDataset) -> None:
    config = recommender_config("dvbpr", user_embeddings="free", embedding_dim=4, global_batch_size=8)
    trainer = RecommenderTrainer(
        TrainingData.from_dataset(checkerboard_dataset, config), config, make_strategy("one-device")
    )
    assert any(variable is trainer.model.user_embeddings for variable in trainer.model.trainable_variables)
    assert "user_profiles" not in next(trainer.batches.epoch(0))[0]
