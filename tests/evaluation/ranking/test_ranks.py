"""Counts tile by tile against the whole table of scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from tfdvbpr.evaluation.ranking import ranks
from tfdvbpr.evaluation.ranking.ranks import count_higher_and_equal
from tfdvbpr.models.recommenders.factors import Factors

NUM_USERS, NUM_ITEMS = 300, 2500
NOTHING = sparse.csr_matrix((NUM_USERS, NUM_ITEMS), dtype=bool)


def _factors(seed: int, *, biases: bool) -> Factors:
    """Whole numbers: every order of adding up gives the same scores, many of them equal."""
    generator = np.random.default_rng(seed)
    tables = [generator.integers(-2, 3, (rows, 3)).astype(np.float32) for rows in (NUM_USERS, NUM_ITEMS)]
    return Factors(*tables, biases * generator.integers(-3, 4, NUM_ITEMS).astype(np.float32))


def _masked(items: np.ndarray, seed: int) -> sparse.csr_matrix:
    mask = np.random.default_rng(seed).random((NUM_USERS, NUM_ITEMS)) < 0.01
    mask[np.arange(NUM_USERS), items] = True
    return sparse.csr_matrix(mask)


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("tile", [None, (7, 64), (64, 64)])
def test_as_the_whole_table_says(biases: bool, tile: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if tile is not None:
        monkeypatch.setattr(ranks, "_USERS", tile[0])
        monkeypatch.setattr(ranks, "_ITEMS", tile[1])
    factors = _factors(0, biases=biases)
    users = np.arange(NUM_USERS, dtype=np.int32)
    items = np.random.default_rng(1).integers(0, NUM_ITEMS, NUM_USERS, dtype=np.int32)
    masked = _masked(items, 2)
    higher, equal = count_higher_and_equal(factors, users, items, masked)
    scores = factors.scores(users)
    held_out = scores[users, items][:, None]
    free = ~masked.toarray()
    np.testing.assert_array_equal(higher, ((scores > held_out) & free).sum(axis=1))
    np.testing.assert_array_equal(equal, ((scores == held_out) & free).sum(axis=1))
    assert higher.any()
    assert equal.any()


def test_no_score_that_is_no_number_counts() -> None:
    factors = _factors(0, biases=True)
    factors.item_embeddings[5:9] = np.nan
    users, items = np.array([0], np.int32), np.array([3], np.int32)
    higher, equal = count_higher_and_equal(factors, users, items, NOTHING)
    scores = factors.scores(users)[0]
    assert higher[0] == np.count_nonzero(scores > scores[3])
    assert equal[0] == np.count_nonzero(scores == scores[3])
    assert higher[0] + equal[0] + np.count_nonzero(scores < scores[3]) == NUM_ITEMS - 4


def test_items_with_the_same_embedding_tie_wherever_they_stand() -> None:
    generator = np.random.default_rng(3)
    items = generator.standard_normal((NUM_ITEMS, 100)).astype(np.float32)
    copies = np.array([0, 1023, 1024, 1700, NUM_ITEMS - 1])
    items[copies] = items[copies[0]]
    factors = Factors(
        generator.standard_normal((NUM_USERS, 100)).astype(np.float32), items, np.zeros(NUM_ITEMS, np.float32)
    )
    users = np.arange(NUM_USERS, dtype=np.int32)
    held_out = copies[users % len(copies)].astype(np.int32)
    _, equal = count_higher_and_equal(factors, users, held_out, NOTHING)
    assert (equal == len(copies)).all()  # itself among them: nothing is masked here


def test_nothing_held_out() -> None:
    none = np.zeros(0, np.int32)
    higher, equal = count_higher_and_equal(_factors(0, biases=False), none, none, _masked(np.zeros(300, int), 0))
    assert len(higher) == len(equal) == 0
