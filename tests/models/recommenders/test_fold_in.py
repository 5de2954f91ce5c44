from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize

from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.models.recommenders.fold_in import FoldIn, ranked_against

Array64 = npt.NDArray[np.float64]


def _factors(seed: int, *, num_items: int = 30, dim: int = 4) -> Factors:
    generator = np.random.default_rng(seed)
    shapes = ((6, dim), (num_items, dim), (num_items,))
    return Factors(*(generator.standard_normal(shape).astype(np.float32) for shape in shapes))


def _loss(
    fitted: Array64, fold: FoldIn, liked: npt.NDArray[np.int32], closed: npt.NDArray[np.float32]
) -> tuple[float, Array64]:
    """The objective of one user and its gradient, written out in float64."""
    width = len(closed)
    items = fold.factors.item_embeddings.astype(np.float64)
    scores = items @ np.r_[closed, fitted] + fold.factors.item_biases
    others = np.setdiff1d(fold.others, liked)
    weights = fold.action_weights[liked] / fold.action_weights[liked].sum()
    loss, gradient = 0.5 * fold.user_l2 * float(fitted @ fitted), fold.user_l2 * fitted
    for item, weight in zip(liked, weights, strict=True):
        margins = scores[others] - scores[item]
        loss += weight * float(np.logaddexp(0, margins).mean())
        slopes = 1.0 / (1.0 + np.exp(-margins)) / len(others)
        gradient = gradient + weight * (slopes @ (items[others] - items[item]))[width:]
    return loss, gradient


@pytest.mark.parametrize("closed_dim", [0, 2])
@pytest.mark.parametrize("spread", [1.0, 8.0])
def test_the_fit_ends_where_an_independent_minimiser_does(closed_dim: int, spread: float) -> None:
    factors = _factors(0)
    factors = Factors(factors.user_embeddings, spread * factors.item_embeddings, factors.item_biases)
    generator = np.random.default_rng(1)
    fold = FoldIn.from_means(
        factors,
        factors.item_embeddings[:, :closed_dim],
        others=np.arange(2, 30, dtype=np.int32),
        action_weights=generator.uniform(0.2, 1.0, 30).astype(np.float32),
        user_l2=0.1,
    )
    liked = [np.array(rows, np.int32) for rows in ([3], [0, 7, 29], [5, 6], [1])]
    users = fold(liked)
    for user, rows in zip(users, liked, strict=True):
        closed, fitted = user[:closed_dim], user[closed_dim:].astype(np.float64)
        np.testing.assert_allclose(closed, factors.item_embeddings[rows, :closed_dim].mean(axis=0), atol=1e-5)
        assert np.abs(_loss(fitted, fold, rows, closed)[1]).max() < 1e-4
        best = minimize(_loss, np.zeros(4 - closed_dim), args=(fold, rows, closed), jac=True, tol=1e-10)
        np.testing.assert_allclose(fitted, best.x, atol=2e-3)


def test_no_answer_depends_on_its_neighbours() -> None:
    fold = FoldIn.from_fit(_factors(2), user_l2=0.1)
    liked = [np.array(rows, np.int32) for rows in ([4, 9], [1, 2, 3, 20], [], [4, 9])]
    together = fold(liked)
    np.testing.assert_array_equal(together, fold(liked))
    np.testing.assert_allclose(together[1], fold(liked[1:2])[0], atol=1e-4)
    np.testing.assert_allclose(together[0], together[3], atol=1e-5)
    np.testing.assert_allclose(together[2], fold.factors.user_embeddings.mean(axis=0), atol=1e-6)


def test_many_users_are_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    fold = FoldIn.from_fit(_factors(3), user_l2=0.1)
    generator = np.random.default_rng(4)
    liked = [generator.choice(30, generator.integers(1, 6), replace=False).astype(np.int32) for _ in range(12)]
    whole = fold(liked)
    monkeypatch.setattr("tfdvbpr.models.recommenders.fold_in._BLOCK_FLOATS", 3 * 30 * 2)
    np.testing.assert_allclose(fold(liked), whole, atol=1e-4)


def test_a_graph_gives_what_python_gives() -> None:
    import tensorflow as tf

    fold = FoldIn.from_fit(_factors(5), user_l2=0.1)
    graph = tf.function(fold.embed, autograph=False)
    liked = tf.constant([[3, 8, 0], [1, 0, 0]])
    users = graph(liked, tf.constant([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    expected = fold([np.array([3, 8], np.int32), np.array([1], np.int32)])
    np.testing.assert_allclose(users, expected, atol=1e-4)


def test_liked_items_are_ranked_against_trained_items() -> None:
    np.testing.assert_array_equal(ranked_against(np.array([0, 2, 1, 0])), [1, 2])
    many = ranked_against(np.ones(5000, np.int64))
    assert len(many) == len(set(many.tolist())) == 2048
    np.testing.assert_array_equal(many, ranked_against(np.ones(5000, np.int64)))
    np.testing.assert_array_equal(many, ranked_against(np.r_[np.ones(5000, np.int64), 0, 0]))
