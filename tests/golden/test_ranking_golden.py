"""Ranking metrics of small rankings, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.evaluation.ranking.metrics import auc, average_precision, hit_rate, ndcg, recall, reciprocal_rank
from tfdvbpr.evaluation.ranking.ranks import Ranks, held_out_ranks
from tfdvbpr.models.recommenders.factors import Factors

T, V, E, W = Split.TRAIN, Split.VALIDATION, Split.TEST, Split.WITHHELD


def _ranks(scores: list[float], splits: dict[int, Split], *, split: Split = Split.TEST) -> Ranks:
    """Ranks of one user with these scores of items, who has acted on the items of `splits`."""
    table, items = np.array([scores], np.float32), np.array(sorted(splits), np.int32)
    interactions = Interactions(
        np.zeros(len(items), np.int32), items, np.array([splits[item] for item in items], np.uint8), 1, len(scores)
    )
    return held_out_ranks(
        Factors(table, np.eye(len(scores), dtype=np.float32), np.zeros(len(scores), np.float32)), interactions, split
    )


def test_by_hand_with_a_tie_and_masks() -> None:
    """Items 0 train, 1 validation, 2 test, 3 withheld are masked; 4..8 are candidates: 1 higher, 2 equal, 2 lower."""
    scores, splits = [9, 9, 5, 9, 7, 5, 5, 1, 0], {0: T, 1: V, 2: E, 3: W}
    ranks = _ranks(scores, splits)
    assert (ranks.num_higher[0], ranks.num_equal[0], ranks.num_candidates[0]) == (1, 2, 5)
    assert auc(ranks)[0] == pytest.approx((2 + 0.5 * 2) / 5)
    # The held-out item is 2nd, 3rd or 4th, each as likely as the others.
    assert reciprocal_rank(ranks)[0] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)
    assert recall(ranks, k=2)[0] == pytest.approx(1 / 3)
    assert recall(ranks, k=1)[0] == 0
    assert recall(ranks, k=4)[0] == pytest.approx(1)
    assert ndcg(ranks, k=3)[0] == pytest.approx((1 / np.log2(3) + 1 / np.log2(4)) / 3)
    validation = _ranks(scores, splits, split=Split.VALIDATION)
    assert (validation.num_higher[0], validation.num_equal[0], validation.num_candidates[0]) == (0, 0, 5)


def test_several_held_out_by_hand() -> None:
    """Order: held-out 2, candidate 4, then held-out 3 and candidate 5 tied, then 6 and 7; 0 and 1 are masked."""
    ranks = _ranks([9, 9, 8, 5, 7, 5, 1, 0], {0: T, 1: V, 2: E, 3: E})
    assert auc(ranks)[0] == pytest.approx((4 / 4 + 2.5 / 4) / 2)
    # Held-out 3 is at position 3 or 4.
    assert recall(ranks, k=3)[0] == pytest.approx((1 + 1 / 2) / 2)
    assert hit_rate(ranks, k=3)[0] == pytest.approx(1)
    ideal = 1 + 1 / np.log2(3)
    assert ndcg(ranks, k=3)[0] == pytest.approx((1 + 0.5 / np.log2(4)) / ideal)
    assert ndcg(ranks, k=1)[0] == pytest.approx(1)
    assert average_precision(ranks, k=3)[0] == pytest.approx((1 + 0.5 * 2 / 3) / 2)
    assert average_precision(ranks, k=10)[0] == pytest.approx((1 + 0.5 * (2 / 3 + 2 / 4)) / 2)
    assert average_precision(ranks, k=1)[0] == pytest.approx(1)
    assert reciprocal_rank(ranks)[0] == pytest.approx(1)


def test_held_out_items_tied_with_each_other_by_hand() -> None:
    """Candidate 4 first; held-out 2 and 3 share positions 2, 3 and 4 with candidate 5."""
    ranks = _ranks([9, 0, 5, 5, 7, 5], {0: T, 2: E, 3: E})
    assert recall(ranks, k=2)[0] == pytest.approx(1 / 3)
    assert hit_rate(ranks, k=2)[0] == pytest.approx(2 / 3)
    assert hit_rate(ranks, k=3)[0] == pytest.approx(1)
    # Positions of the two: (2, 3), (2, 4) or (3, 4), each as likely as the others.
    assert reciprocal_rank(ranks)[0] == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)
    precisions = (1 / 2 + 2 / 3) + (1 / 2 + 2 / 4) + (1 / 3 + 2 / 4)
    assert average_precision(ranks, k=10)[0] == pytest.approx(precisions / 3 / 2)
