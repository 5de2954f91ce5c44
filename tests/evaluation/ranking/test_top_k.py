from __future__ import annotations

import numpy as np
import pytest

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.evaluation.ranking import top_k
from tfdvbpr.evaluation.ranking.top_k import best_items, coverage, diversity, novelty
from tfdvbpr.models.recommenders.factors import Factors

T, V, E, W = Split.TRAIN, Split.VALIDATION, Split.TEST, Split.WITHHELD


def _factors(scores: np.ndarray) -> Factors:
    table = np.asarray(scores, np.float32)
    return Factors(table, np.eye(table.shape[1], dtype=np.float32), np.zeros(table.shape[1], np.float32))


def _interactions(actions: list[tuple[int, int, Split]], *, num_users: int, num_items: int) -> Interactions:
    users, items, splits = (np.array(column) for column in zip(*sorted(actions), strict=True))
    return Interactions(users.astype(np.int32), items.astype(np.int32), splits.astype(np.uint8), num_users, num_items)


def test_lists_by_hand() -> None:
    """Everything known but the test item is left out; equal scores stand in the order of the catalogue."""
    actions = [(0, 0, T), (0, 1, V), (0, 2, W), (0, 3, E), (2, 3, E), (2, 4, T)]
    interactions = _interactions(actions, num_users=3, num_items=6)
    factors = _factors(np.array([[9, 9, 9, 1, 5, 5], [0] * 6, [7, 1, 7, 7, 9, 0]]))
    lists = best_items(factors, interactions, E, k=4)
    assert lists.tolist() == [[4, 5, 3, -1], [0, 2, 3, 1]]
    validation = best_items(factors, interactions, V, k=2)
    assert validation.tolist() == [[1, 4]]
    assert best_items(factors, interactions, E, k=8)[0].tolist() == [4, 5, 3, -1, -1, -1, -1, -1]


@pytest.mark.parametrize("k", [1, 7, 150])
def test_lists_equal_a_stable_sort(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(k)
    scores = generator.integers(0, 40, (30, 150)).astype(np.float32)
    scores[3] = 2.0
    interactions = _interactions([(user, user, E) for user in range(30)], num_users=30, num_items=150)
    monkeypatch.setattr(top_k, "_BLOCK_BYTES", 7 * 4 * 150)
    lists = best_items(_factors(scores), interactions, E, k=k)
    np.testing.assert_array_equal(lists, np.argsort(-scores, axis=1, kind="stable")[:, :k])


def test_coverage_by_hand() -> None:
    assert coverage(np.array([[0, 1], [1, -1]]), num_items=8) == 2 / 8
    assert coverage(np.array([[0, 1], [2, 3]]), num_items=4) == 1.0
    assert coverage(np.array([[-1]]), num_items=4) == 0.0


def test_novelty_by_hand() -> None:
    """Shares (3+1)/8, (0+1)/8, (1+1)/8 and (0+1)/8 of 4 actions and 4 items: 1, 3, 2 and 3 bits."""
    bits = novelty(np.array([[0, 1], [2, -1], [-1, -1]]), np.array([3, 0, 1, 0]))
    np.testing.assert_allclose(bits, [2.0, 2.0, np.nan])


def test_diversity_by_hand() -> None:
    """Items 0 and 1 have the same direction, 2 is orthogonal to both, 3 the opposite of 0, 4 is blank."""
    features = np.array([[1, 0], [3, 0], [0, 2], [-1, 0], [0, 0]], np.float32)
    lists = np.array([[0, 1, -1], [0, 2, -1], [0, 3, -1], [0, 1, 2], [2, -1, -1], [-1, -1, -1], [0, 4, -1]])
    expected = [0.0, 1.0, 2.0, (0 + 1 + 1) / 3, np.nan, np.nan, 1.0]
    np.testing.assert_allclose(diversity(lists, lambda items: features[items]), expected, atol=1e-12)


def test_diversity_equals_every_pair() -> None:
    generator = np.random.default_rng(0)
    features = generator.standard_normal((20, 6)).astype(np.float32)
    lists = np.stack([generator.permutation(20)[:5] for _ in range(8)])
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    for row, value in zip(lists, diversity(lists, lambda items: features[items]), strict=True):
        cosines = (units[row] @ units[row].T)[np.triu_indices(5, 1)]
        assert value == pytest.approx(1 - cosines.mean(), abs=1e-6)
