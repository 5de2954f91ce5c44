"""Adversarial training: what a batch becomes, what a step's loss is, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.recommender.adversarial import adversarial_batch
from tfdvbpr.training.recommender.data import TrainingData
from tfdvbpr.training.recommender.step import RecommenderTrainer
from tfdvbpr.training.recommender.train import check_config


def test_images_go_epsilon_along_the_sign_and_stay_images() -> None:
    weights = tf.constant([[[[1.0, -2.0, 0.0]]]])
    images = tf.constant([[[[0.5, 0.5, 0.5]]], [[[0.95, -0.95, 0.5]]]])
    batch = {"images": images, "other": tf.constant(7)}
    found = adversarial_batch(lambda given: tf.reduce_sum(given["images"] * weights), batch, 0.1)
    np.testing.assert_allclose(found["images"][0, 0, 0], [0.7, 0.3, 0.5], rtol=1e-6)
    np.testing.assert_allclose(found["images"][1, 0, 0], [1.0, -1.0, 0.5], rtol=1e-6)
    assert int(found["other"]) == 7


def test_features_go_epsilon_of_their_length() -> None:
    features = tf.constant([[3.0, 4.0], [0.0, 2.0]])
    weights = tf.constant([[0.0, -5.0], [1.0, 1.0]])
    found = adversarial_batch(lambda given: tf.reduce_sum(given["images"] * weights), {"images": features}, 0.1)
    expected = [[3.0, 4.0 - 0.5], [0.2 / np.sqrt(2), 2.0 + 0.2 / np.sqrt(2)]]
    np.testing.assert_allclose(found["images"], expected, rtol=1e-5)


def test_a_steps_loss_is_the_mean_of_both(checkerboard_dataset: PreparedDataset) -> None:
    """The changed batch ranks worse, and the mean with an unchanged one is what is descended."""

    def trainer(**fields: float) -> RecommenderTrainer:
        config = recommender_config(
            "dvbpr", embedding_dim=4, global_batch_size=16, augmentation=(), dropout=0.0, **fields
        )
        return RecommenderTrainer(
            TrainingData.from_dataset(checkerboard_dataset, config), config, make_strategy("one-device")
        )

    plain, adversarial = trainer(), trainer(adversarial_epsilon=0.05)
    batch = next(iter(plain.batches.epoch(0)))[0]
    variables = plain.model.trainable_variables
    clean = float(plain.gradients(batch, variables)[0]["loss"])
    mean = float(adversarial.gradients(batch, adversarial.model.trainable_variables)[0]["loss"])
    assert mean > clean
    inputs = {**batch, "images": tf.cast(batch["images"], tf.float32) / 127.5 - 1.0}
    changed = adversarial_batch(lambda given: plain._objective(given)[0], inputs, 0.05)
    assert mean == pytest.approx((clean + float(plain._objective(changed)[0])) / 2, rel=1e-3)


@pytest.mark.parametrize("model", ["dvbpr", "hybrid-dvbpr", "siamese"])
def test_triplets_are_refused(model: str) -> None:
    config = recommender_config(model, adversarial_epsilon=0.01, batching="triplet")
    with pytest.raises(ConfigError, match="adversarial_epsilon"):
        check_config(config)
