"""A step of BPR for two users and two items, and fold-in, worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from tfdvbpr.losses.ranking import bpr
from tfdvbpr.models.recommenders import RECOMMENDERS, recommender_config
from tfdvbpr.models.recommenders.fold_in import fit_users, shrunk_means

SIGMOID_OF_MINUS_1 = 0.26894142


def test_bpr_of_two_users_and_two_items() -> None:
    """User 0 prefers item 0, and x̂_00 - x̂_01 = 1·(2 - 0) + (-1 - 0) = 1: the loss is softplus(-1), its slope σ(-1).

    User 1 prefers item 1, and x̂_11 - x̂_10 = 3·(0 - 2) + (0 + 1) = -5: the loss is softplus(5), its slope σ(5).
    """
    sizes = SimpleNamespace(num_users=2, num_items=2, image_size=(8, 8))
    model = RECOMMENDERS["bpr-mf"].for_dataset(recommender_config("bpr-mf", embedding_dim=1), sizes)
    model.user_embeddings.assign([[1.0], [3.0]])
    model.item_embeddings.assign([[2.0], [0.0]])
    model.item_biases.assign([-1.0, 0.0])
    users, positives, negatives = (np.array(rows, np.int32) for rows in ([0, 1], [0, 1], [1, 0]))
    with tf.GradientTape() as tape:
        scores = [model({"user_ids": users, "item_ids": items, "images": None}) for items in (positives, negatives)]
        losses = bpr(*(each[:, None] for each in scores), tf.ones((2, 1)))
    np.testing.assert_allclose(losses, [np.log(1 + np.exp(-1)), np.log(1 + np.exp(5))], rtol=1e-6)
    tables = [model.user_embeddings, model.item_embeddings, model.item_biases]
    slopes = SIGMOID_OF_MINUS_1, 1 / (1 + np.exp(-5))
    expected = [
        [[-slopes[0] * (2 - 0)], [-slopes[1] * (0 - 2)]],
        [[-slopes[0] * 1 + slopes[1] * 3], [slopes[0] * 1 - slopes[1] * 3]],
        [-slopes[0] + slopes[1], slopes[0] - slopes[1]],
    ]
    for gradient, by_hand in zip(tape.gradient(losses, [table.value for table in tables]), expected, strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), by_hand, rtol=1e-5)


def test_shrunk_means_by_hand() -> None:
    vectors = np.array([[[3.0, 0.0], [6.0, 3.0]], [[4.0, 2.0], [9.0, 9.0]]], np.float32)
    means = shrunk_means(vectors, np.array([[1.0, 1.0], [1.0, 0.0]], np.float32), shrinkage=1.0)
    np.testing.assert_allclose(means, [[3.0, 1.0], [2.0, 1.0]], atol=1e-6)


def test_a_fit_by_hand() -> None:
    """One liked item at 1, one other at 0: softplus(-f) + ½λf² has its minimum where σ(-f) = λf, f = 1 for this λ."""
    one = np.ones((1, 1), np.float32)
    fitted = fit_users(
        one[:, None],
        np.zeros((1, 1), np.float32),
        0.0 * one,
        0.0 * one,
        weights=one,
        is_negative=one,
        first=-5.0 * one,
        user_l2=1.0 / (1.0 + np.e),
    )
    np.testing.assert_allclose(fitted, [[1.0]], atol=1e-4)
