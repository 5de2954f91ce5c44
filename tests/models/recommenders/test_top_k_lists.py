"""Lists of whole rows and of tiles against sorted scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from tfdvbpr.models.recommenders import top_k
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.models.recommenders.item_weights import ItemWeights
from tfdvbpr.models.recommenders.top_k import NO_ITEM, TopItems

NUM_USERS, NUM_ITEMS, DIM = 40, 300, 4


def _factors(kind: str) -> Factors:
    generator = np.random.default_rng(1)
    users = generator.standard_normal((NUM_USERS, DIM), np.float32)
    items = generator.standard_normal((NUM_ITEMS, DIM), np.float32)
    biases = np.zeros(NUM_ITEMS, np.float32)
    if kind == "biases":
        biases = generator.standard_normal(NUM_ITEMS, np.float32)
    elif kind == "equal items":
        items[generator.integers(0, NUM_ITEMS, 200)] = items[7]
    elif kind == "counts":  # as popularity has them
        items[:], biases[:] = 0, generator.integers(0, 9, NUM_ITEMS)
    elif kind == "weights":
        histories = sparse.random_array((NUM_USERS, NUM_ITEMS), density=0.02, rng=2, dtype=np.float32).tocsr()
        histories.data[:] = 1
        return ItemWeights(
            histories, sparse.random_array((NUM_ITEMS,) * 2, density=0.3, rng=3, dtype=np.float32).tocsr()
        )
    return Factors(users, items, biases)


def _sorted(factors: Factors, items: np.ndarray, excluded: sparse.csr_matrix | None, k: int) -> np.ndarray:
    lists = np.full((NUM_USERS, k), NO_ITEM)
    for user in range(NUM_USERS):
        scores = factors.scores(np.array([user]))[0]
        left = items if excluded is None else np.setdiff1d(items, excluded[[user]].indices)
        best = left[np.argsort(-scores[left], kind="stable")][:k]
        lists[user, : len(best)] = best
    return lists


@pytest.mark.parametrize("tile", [16, 64, 8192])
@pytest.mark.parametrize("kind", ["plain", "biases", "equal items", "counts", "weights"])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_lists_are_the_sorted_scores(monkeypatch: pytest.MonkeyPatch, tile: int, kind: str, share: float) -> None:
    monkeypatch.setattr(top_k, "_ITEMS", tile)
    monkeypatch.setattr(top_k, "_LEAST_TILES", 1)
    factors, generator = _factors(kind), np.random.default_rng(4)
    items = np.flatnonzero(generator.random(NUM_ITEMS) < share).astype(np.int32)
    excluded = generator.random((NUM_USERS, NUM_ITEMS)) < 0.2
    excluded[3] = True
    excluded[4, :-2] = True
    for masked in (sparse.csr_matrix(excluded), None):
        best = TopItems.of(factors, items, masked, k=10)
        rows, scores = best(np.arange(NUM_USERS, dtype=np.int32))
        np.testing.assert_array_equal(rows, _sorted(factors, items, masked, 10))
        found = rows != NO_ITEM
        np.testing.assert_array_equal(np.isneginf(scores), ~found)
        whole = factors.scores(np.arange(NUM_USERS))
        np.testing.assert_allclose(scores[found], np.take_along_axis(whole, np.maximum(rows, 0), 1)[found], atol=1e-5)


def test_nothing_to_rank() -> None:
    best = TopItems.of(_factors("plain"), np.zeros(0, np.int32), None, k=3)
    assert best(np.array([1], np.int32))[0].tolist() == [[NO_ITEM] * 3]
    assert best(np.zeros(0, np.int32))[0].shape == (0, 3)
