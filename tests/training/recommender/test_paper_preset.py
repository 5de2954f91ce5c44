"""One step of the preset `paper` against the authors' objective, written out once more by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.batches.source import Batch
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.recommender.data import TrainingData
from tfdvbpr.training.recommender.train import RecommenderTrainer, _log_image_size, check_config

LAMBDA_CNN, LAMBDA_USER, RATE, EPSILON = 1e-3, 1.0, 1e-4, 1e-8


@pytest.fixture(scope="module")
def trainer(checkerboard_dataset: PreparedDataset) -> RecommenderTrainer:
    """The preset on pictures of 32×32; without dropout, whose masks nobody else can draw."""
    config = recommender_config("dvbpr", preset="paper", dropout=0.0)
    data = TrainingData.from_dataset(checkerboard_dataset, config)
    return RecommenderTrainer(data, config, tf.distribute.get_strategy())


@pytest.fixture(scope="module")
def batch(trainer: RecommenderTrainer) -> Batch:
    return next(iter(trainer.batches.epoch(0)))[0]


def _cnn(images: Any, weights: list[Any]) -> Any:
    """CNN-F as in the authors' code: kernels and biases by turns."""
    (conv, dense), hidden = (weights[:10], weights[10:]), (tf.cast(images, tf.float32) - 127.5) / 127.5
    for layer in range(5):
        stride = 4 if layer == 0 else 1
        hidden = tf.nn.conv2d(hidden, conv[2 * layer], strides=[1, stride, stride, 1], padding="SAME")
        hidden = tf.nn.relu(tf.nn.bias_add(hidden, conv[2 * layer + 1]))
        if layer in (0, 1, 4):
            hidden = tf.nn.max_pool(hidden, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")
    hidden = tf.reshape(hidden, [len(images), -1])
    for layer in range(3):
        hidden = tf.matmul(hidden, dense[2 * layer]) + dense[2 * layer + 1]
        hidden = tf.nn.relu(hidden) if layer < 2 else hidden
    return hidden


def _authors_cost(batch: Batch, weights: list[Any], users: Any) -> Any:
    """What they minimise: two towers, log-sigmoids summed over the batch, l2_loss of weights and of the batch's θ_u."""
    positives, negatives = _cnn(batch["positive_images"], weights), _cnn(batch["negative_images"][:, 0], weights)
    taken = tf.gather(users, batch["user_ids"])
    margins = tf.reduce_sum(taken * (positives - negatives), axis=1)
    penalty = LAMBDA_CNN * tf.add_n([tf.nn.l2_loss(kernel) for kernel in weights[::2]])
    return -tf.reduce_sum(tf.math.log(tf.sigmoid(margins))) + penalty + LAMBDA_USER * tf.nn.l2_loss(taken)


def test_the_gradient_is_the_authors(trainer: RecommenderTrainer, batch: Batch) -> None:
    """To the letter: the common factor is 1."""
    network, users = trainer.model.backbone.trainable_variables, trainer.model.user_embeddings
    assert len(network) == 16
    tensors = {name: tf.convert_to_tensor(array) for name, array in batch.items()}
    shares, ours = trainer.gradients(tensors, [*network, users])
    values = [variable.value for variable in [*network, users]]
    with tf.GradientTape() as tape:
        cost = _authors_cost(batch, values[:-1], values[-1])
    for variable, own, theirs in zip([*network, users], ours, tape.gradient(cost, values), strict=True):
        expected = tf.convert_to_tensor(theirs).numpy()
        scale = np.abs(expected).max()
        if variable is network[-1]:  # the same in both towers: it cancels
            scale = 1.0
        assert scale > 0, variable.path
        np.testing.assert_allclose(
            tf.convert_to_tensor(own).numpy(), expected, rtol=1e-3, atol=1e-5 * scale, err_msg=variable.path
        )
    assert float(len(batch["user_ids"]) * (shares["loss"] + shares["penalty"])) == pytest.approx(float(cost), rel=1e-5)


def test_the_step_is_their_adam(trainer: RecommenderTrainer, batch: Batch) -> None:
    """TensorFlow 1's first step, lr √(1-β₂)/(1-β₁) · m/(√v + ε), with ε = 1e-8."""
    users, biases = trainer.model.user_embeddings, trainer.model.backbone.trainable_variables[1]
    assert users.numpy().min() >= 0
    assert 0.009 < users.numpy().max() < 0.01
    assert not biases.numpy().any()
    tensors = {name: tf.convert_to_tensor(array) for name, array in batch.items()}
    _, gradients = trainer.gradients(tensors, [users, biases])
    before = [users.numpy(), biases.numpy()]
    trainer.replica_step(tensors)
    for variable, old, gradient in zip((users, biases), before, gradients, strict=True):
        slope = tf.convert_to_tensor(gradient).numpy().astype(np.float64)
        first, second = 0.1 * slope, 0.001 * slope**2
        expected = old - RATE * np.sqrt(0.001) / 0.1 * first / (np.sqrt(second) + EPSILON)
        np.testing.assert_allclose(variable.numpy(), expected, atol=2e-8)
    for optimizer in (trainer.optimizers.network, trainer.optimizers.tables):
        for step in (0, 10_000):
            assert float(optimizer._learning_rate(step)) == pytest.approx(RATE)


def test_a_preset_is_a_models_own() -> None:
    config = recommender_config("dvbpr", preset="paper", overrides=["epochs=3"])
    assert (config.backbone, config.embedding_dim, config.epochs, config.dropout) == ("cnn_f", 100, 3, 0.5)
    with pytest.raises(ConfigError, match=r"`preset` must be one of paper, pretrained\. Received 'letter'"):
        recommender_config("dvbpr", preset="letter")
    with pytest.raises(ConfigError, match=r"`preset` must be left out for vbpr, which has none\. Received 'paper'"):
        recommender_config("vbpr", preset="paper")
    with pytest.raises(ConfigError, match="`reduction` may be sum with triplet batching alone"):
        check_config(recommender_config("dvbpr", reduction="sum"))


def test_another_image_size_is_logged(checkerboard_dataset: PreparedDataset, caplog: pytest.LogCaptureFixture) -> None:
    _log_image_size(recommender_config("dvbpr", preset="paper"), checkerboard_dataset.manifest.image_size)
    assert caplog.messages[0].startswith("cnn_f is meant for images of 224x224. The dataset has 32x32, which are used.")
    caplog.clear()
    _log_image_size(recommender_config("dvbpr"), checkerboard_dataset.manifest.image_size)
    assert not caplog.messages
