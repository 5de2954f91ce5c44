"""What every entry of RANKING_LOSSES must do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Split
from tfdvbpr.evaluation.ranking.evaluate import mean_metrics
from tfdvbpr.losses.ranking import RANKING_LOSSES
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.recommender.train import train_recommender


@pytest.mark.parametrize("name", RANKING_LOSSES)
def test_ranking_loss_falls_as_the_margin_grows(name: str) -> None:
    margins = np.linspace(-8.0, 8.0, 33, dtype=np.float32)[:, None]
    losses = np.asarray(RANKING_LOSSES[name](margins, np.zeros((33, 1), np.float32), np.ones((33, 1), np.float32)))
    assert losses.shape == (33,)
    steps = np.diff(losses)
    assert (steps <= 0).all()
    assert (steps[margins[:-1, 0] < 0] < 0).all()
    assert (losses >= 0).all()


@pytest.mark.parametrize("name", RANKING_LOSSES)
def test_ranking_loss_of_a_row_without_negatives_is_nothing(name: str) -> None:
    scores = np.array([[3.0, -2.0]], np.float32)
    assert float(RANKING_LOSSES[name](np.zeros((1, 1), np.float32), scores, np.zeros((1, 2), np.float32))[0]) == 0.0


@pytest.mark.parametrize("name", RANKING_LOSSES)
def test_ranking_loss_stays_finite_far_out(name: str) -> None:
    scores = np.array([[-1e4], [1e4]], np.float32)
    assert np.isfinite(np.asarray(RANKING_LOSSES[name](scores, -scores, np.ones((2, 1), np.float32)))).all()


@pytest.mark.parametrize("name", RANKING_LOSSES)
def test_gradients_raise_the_positive_and_lower_the_negatives(name: str) -> None:
    positive, negative = tf.constant([[0.2]]), tf.constant([[0.1, 0.5, 0.3]])
    with tf.GradientTape() as tape:
        tape.watch([positive, negative])
        loss = RANKING_LOSSES[name](positive, negative, tf.constant([[1.0, 1.0, 0.0]]))
    of_positive, of_negative = (gradient.numpy()[0] for gradient in tape.gradient(loss, [positive, negative]))
    assert of_positive[0] < 0
    assert (of_negative[:2] > 0).all()
    assert of_negative[2] == 0  # padding


@pytest.mark.parametrize("name", RANKING_LOSSES)
def test_matrix_factorisation_learns_the_checkerboard(
    name: str, checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    values = {"batching": "shared-item", "item_l2": 0.0, "epochs": 25, "embedding_dim": 4, "global_batch_size": 16}
    run = train_recommender(checkerboard_dataset, recommender_config("bpr-mf", loss=name, **values), tmp_path / "run")
    assert mean_metrics(run.factors, run.interactions, Split.TEST)["auc"] > 0.95
