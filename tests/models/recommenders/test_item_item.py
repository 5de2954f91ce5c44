from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from tfdvbpr.arrays import read_npz
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.ranking.ranks import held_out_ranks
from tfdvbpr.models.recommenders import RECOMMENDERS, item_item, recommender_config
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.models.recommenders.item_item import strongest
from tfdvbpr.models.recommenders.item_weights import ItemWeights

# Users 0, 1 and 2 acted on items 0 and 1, on item 0, and on item 2; the last action is held out.
THREE_ITEMS = Interactions(
    np.array([0, 0, 1, 2, 2], np.int32),
    np.array([0, 1, 0, 2, 0], np.int32),
    np.array([Split.TRAIN] * 4 + [Split.TEST], np.uint8),
    3,
    3,
)


def _random(*, num_users: int = 60, num_items: int = 40) -> Interactions:
    """Random actions, a tenth of them held out; the last three items have none, two others the same users."""
    generator = np.random.default_rng(0)
    acted = generator.random((num_users, num_items)) < 0.1 + 0.4 * generator.random(num_items)
    acted[:, -3:] = False
    users, items = np.nonzero(acted)
    splits = np.where(generator.random(len(users)) < 0.1, Split.TEST, Split.TRAIN).astype(np.uint8)
    twins = splits[items == 4]
    users, items, splits = (
        np.concatenate([kept[items != 5], more])
        for kept, more in ((users, users[items == 4]), (items, np.full(len(twins), 5)), (splits, twins))
    )
    return Interactions(users.astype(np.int32), items.astype(np.int32), splits, num_users, num_items)


def _weights(name: str, interactions: Interactions, **values: float) -> ItemWeights:
    factors = RECOMMENDERS[name].closed_form(recommender_config(name, **values), interactions, None)
    assert isinstance(factors, ItemWeights)
    return factors


def test_ease_by_hand() -> None:
    """XᵀX + I = [[3, 1, 0], [1, 2, 0], [0, 0, 2]], its inverse [[2, -1, 0], [-1, 3, 0], [0, 0, 2.5]] / 5."""
    factors = _weights("ease", THREE_ITEMS, weight_l2=1.0)
    expected = np.array([[0, 1 / 3, 0], [1 / 2, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(factors.weights.toarray(), expected, atol=1e-7)
    np.testing.assert_allclose(factors.scores(np.arange(3)), [[1 / 4, 1 / 6, 0], [0, 1 / 3, 0], [0, 0, 0]], atol=1e-7)


def test_ease_is_ridge_regression_of_each_item_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    interactions = _random()
    acted = interactions.training_matrix.toarray().astype(float)
    expected = np.zeros((40, 40))
    for item in range(40):
        others = np.delete(np.arange(40), item)
        left = acted[:, others].T @ acted[:, others] + 7.0 * np.eye(39)
        expected[others, item] = np.linalg.solve(left, acted[:, others].T @ acted[:, item])
    found = _weights("ease", interactions, weight_l2=7.0)
    np.testing.assert_allclose(found.weights.toarray(), expected, atol=1e-6)
    means = acted @ expected / np.maximum(acted.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(found.scores(np.arange(60)), means, atol=1e-6)
    monkeypatch.setattr(item_item, "_BLOCK_ENTRIES", 7 * 40)  # blocks of 7 items
    np.testing.assert_array_equal(
        _weights("ease", interactions, weight_l2=7.0).weights.toarray(), found.weights.toarray()
    )


def test_ease_with_dropout_is_the_expected_regression() -> None:
    """EDLAE: W minimises Σ_u w_u E‖x_u - W δ(x_u)‖² + λ'‖W‖² over dropout δ, by its own equations."""
    interactions = _random()
    acted = interactions.training_matrix.toarray().astype(float)
    acted *= np.maximum(acted.sum(axis=1, keepdims=True), 1) ** -0.25
    gram, p = acted.T @ acted, 0.4
    expected = np.zeros((40, 40))
    for item in range(37):
        others = np.delete(np.arange(37), item)
        own = gram[np.ix_(others, others)]
        # E[δᵀδ] = (1-p)² G + p(1-p) diag(G), E[δᵀx] = (1-p) G: dropped items are 0, the target is whole.
        left = (1 - p) ** 2 * own + p * (1 - p) * np.diag(np.diag(own)) + (1 - p) ** 2 * 3.0 * np.eye(36)
        expected[others, item] = (1 - p) * np.linalg.solve(left, (1 - p) * gram[others, item])
    found = _weights("ease", interactions, weight_l2=3.0, weight_dropout=p, user_balance=0.25)
    np.testing.assert_allclose(found.weights.toarray(), expected, atol=1e-6)


def test_item_knn_by_hand() -> None:
    """Items 0 and 1 have 2 users and 1, and one in common; item 2 shares none."""
    plain = _weights("item-knn", THREE_ITEMS, shrinkage=0.0).weights.toarray()
    np.testing.assert_allclose(plain, [[0, 2**-0.5, 0], [2**-0.5, 0, 0], [0, 0, 0]], rtol=1e-6)
    shrunk = _weights("item-knn", THREE_ITEMS, shrinkage=3.0).weights.toarray()
    np.testing.assert_allclose(shrunk[0, 1], 1 / (2**0.5 + 3), rtol=1e-6)


def test_item_knn_keeps_the_nearest_of_each_item(monkeypatch: pytest.MonkeyPatch) -> None:
    interactions = _random()
    acted = interactions.training_matrix.toarray().astype(float)
    lengths = np.linalg.norm(acted, axis=0)
    cosines = acted.T @ acted / (np.outer(lengths, lengths) + 2.0)
    np.fill_diagonal(cosines, 0)
    everything = _weights("item-knn", interactions, shrinkage=2.0, num_neighbours=0)
    np.testing.assert_allclose(everything.weights.toarray(), cosines, atol=1e-6)
    monkeypatch.setattr(item_item, "_BLOCK_ENTRIES", 7 * 40)
    nearest = _weights("item-knn", interactions, shrinkage=2.0, num_neighbours=5).weights.toarray()
    for item in range(37):
        assert np.count_nonzero(nearest[:, item]) == 5
        np.testing.assert_allclose(np.sort(nearest[:, item])[-5:], np.sort(cosines[:, item])[-5:], atol=1e-6)
    assert not nearest[:, 37:].any()


def test_the_strongest_are_by_magnitude_and_ties_by_place() -> None:
    rows = sparse.csr_array(np.array([[1.0, -3, 2, 0], [0, 0, 0, 0], [5, -5, 5, 1]], np.float32))
    expected = [[0, -3, 2, 0], [0, 0, 0, 0], [5, -5, 0, 0]]
    np.testing.assert_array_equal(strongest(rows, 2).toarray(), expected)
    np.testing.assert_array_equal(strongest(rows, 0).toarray(), rows.toarray())


@pytest.mark.parametrize("num_neighbours", [0, 2])
def test_ranks_are_those_of_dense_factors(num_neighbours: int) -> None:
    """Items 4 and 5 have the same users, and items without actions tie at 0, on the sparse path and on the dense."""
    interactions = _random()
    sparse_scores = _weights("item-knn", interactions, num_neighbours=num_neighbours)
    table = sparse_scores.scores(np.arange(60))
    expected = held_out_ranks(
        Factors(table, np.eye(40, dtype=np.float32), np.zeros(40, np.float32)), interactions, Split.TEST
    )
    found = held_out_ranks(sparse_scores, interactions, Split.TEST)
    np.testing.assert_array_equal(found.num_higher, expected.num_higher)
    np.testing.assert_array_equal(found.num_equal, expected.num_equal)
    assert found.num_equal.any() or not num_neighbours


def test_dense_embeddings_give_the_scores() -> None:
    factors = _weights("ease", _random(), weight_l2=2.0)
    users = np.array([3, 0, 59])
    scores = factors.scores(users)
    np.testing.assert_allclose(factors.user_embeddings[users] @ factors.item_embeddings.T, scores, atol=1e-6)
    np.testing.assert_allclose(factors.scores_for(factors.user_embeddings[users]), scores, atol=1e-6)
    np.testing.assert_array_equal(factors.score_items(59, np.array([4, 1])), scores[2, [4, 1]])
    np.testing.assert_allclose(factors.mean_user, factors.user_embeddings.mean(axis=0), atol=1e-6)


def test_weights_round_trip(tmp_path: Path) -> None:
    factors = _weights("item-knn", _random())
    factors.write(tmp_path / "factors.npz")
    users = np.arange(60)
    np.testing.assert_array_equal(ItemWeights.read(tmp_path / "factors.npz").scores(users), factors.scores(users))
    with pytest.raises(ValueError, match="must agree"):
        ItemWeights(factors.histories[:, :5], factors.weights)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("weights_indices", lambda array: array + 40),
        ("weights_indptr", lambda array: array[::-1].copy()),
        ("weights_data", lambda array: array.astype(np.float64)),
        ("histories_indices", lambda array: array[:-1]),
        ("histories_indptr", lambda array: array[:, None]),
    ],
)
def test_damaged_weights_are_refused(name: str, damage: Callable[[np.ndarray], np.ndarray], tmp_path: Path) -> None:
    _weights("item-knn", _random()).write(tmp_path / "factors.npz")
    arrays = read_npz(tmp_path / "factors.npz")
    np.savez(tmp_path / "factors.npz", **(arrays | {name: damage(arrays[name])}))
    with pytest.raises(ValueError, match=r"vectors|float32|ind(ex|ices|ptr)"):
        ItemWeights.read(tmp_path / "factors.npz")


def test_too_many_items_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_item, "MOST_ITEMS", 36)
    with pytest.raises(ConfigError, match=r"at most 36 items\. Received 37\. `ease` inverts"):
        _weights("ease", _random())
    with pytest.raises(ConfigError, match="Set num_neighbours=100"):
        _weights("item-knn", _random(), num_neighbours=0)
    assert _weights("item-knn", _random()).weights.nnz
