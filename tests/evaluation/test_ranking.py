from __future__ import annotations

import numpy as np
import pytest

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.evaluation.ranking import METRICS, Ranks, held_out_ranks, ndcg, recall, summary
from tfdvbpr.models.factors import Factors


def _factors(scores: list[list[float]] | np.ndarray) -> Factors:
    """Factors whose scores are the given table."""
    table = np.asarray(scores, np.float32)
    return Factors(table, np.eye(table.shape[1], dtype=np.float32), np.zeros(table.shape[1], np.float32))


def _interactions(actions: list[tuple[int, int, Split]], *, num_users: int, num_items: int) -> Interactions:
    users, items, splits = zip(*sorted(actions), strict=True)
    return Interactions(
        np.array(users, np.int32), np.array(items, np.int32), np.array(splits, np.uint8), num_users, num_items
    )


T, V, E, W = Split.TRAIN, Split.VALIDATION, Split.TEST, Split.WITHHELD


def test_by_hand_with_a_tie_and_masks() -> None:
    """Items 0 train, 1 validation, 2 test, 3 withheld are masked; 4..8 are candidates: 1 higher, 2 equal, 2 lower."""
    interactions = _interactions([(0, 0, T), (0, 1, V), (0, 2, E), (0, 3, W)], num_users=1, num_items=9)
    factors = _factors([[9, 9, 5, 9, 7, 5, 5, 1, 0]])
    ranks = held_out_ranks(factors, interactions, Split.TEST)
    assert (ranks.num_higher[0], ranks.num_equal[0], ranks.num_candidates[0]) == (1, 2, 5)
    assert METRICS["auc"](ranks)[0] == pytest.approx((2 + 0.5 * 2) / 5)
    # The held-out item stands 2nd, 3rd or 4th, each as likely as the others.
    assert METRICS["mrr"](ranks)[0] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)
    assert recall(ranks, k=2)[0] == pytest.approx(1 / 3)
    assert recall(ranks, k=1)[0] == 0
    assert recall(ranks, k=4)[0] == pytest.approx(1)
    assert ndcg(ranks, k=3)[0] == pytest.approx((1 / np.log2(3) + 1 / np.log2(4)) / 3)
    validation = held_out_ranks(factors, interactions, Split.VALIDATION)
    assert (validation.num_higher[0], validation.num_equal[0], validation.num_candidates[0]) == (0, 0, 5)


@pytest.mark.parametrize(("score", "expected"), [(9.0, 1.0), (-9.0, 0.0)])
def test_best_and_worst(score: float, expected: float) -> None:
    interactions = _interactions([(0, 3, E)], num_users=1, num_items=40)
    table = np.arange(40.0)[None] / 40.0
    table[0, 3] = score
    ranks = held_out_ranks(_factors(table), interactions, Split.TEST)
    for name, metric in METRICS.items():
        worst = 1 / 40 if name == "mrr" else 0.0
        assert metric(ranks)[0] == pytest.approx(expected or worst), name


def test_a_constant_model_gains_nothing_from_the_catalogue_order() -> None:
    interactions = _interactions([(0, 0, E), (1, 19, E)], num_users=2, num_items=20)
    ranks = held_out_ranks(_factors(np.zeros((2, 20))), interactions, Split.TEST)
    np.testing.assert_allclose(METRICS["auc"](ranks), 0.5)
    np.testing.assert_allclose(METRICS["recall@10"](ranks), 0.5)
    np.testing.assert_allclose(METRICS["mrr"](ranks), (1 / np.arange(1, 21)).mean())


def test_no_candidate_left() -> None:
    interactions = _interactions([(0, 0, T), (0, 1, E)], num_users=1, num_items=2)
    ranks = held_out_ranks(_factors([[5, 0]]), interactions, Split.TEST)
    assert {name: metric(ranks)[0] for name, metric in METRICS.items()} == {
        "auc": 0.5,
        "recall@10": 1.0,
        "ndcg@10": 1.0,
        "mrr": 1.0,
    }


def _random(seed: int) -> tuple[Factors, Interactions]:
    """25 users, 40 items, few distinct scores and so many ties; the first users have nothing held out."""
    generator = np.random.default_rng(seed)
    actions = []
    for user in range(25):
        items = generator.choice(40, generator.integers(1, 12), replace=False)
        splits = [V, E, W, *[T] * 20] if user > 4 and len(items) > 2 else [T] * 20
        actions += [(user, int(item), split) for item, split in zip(items, splits, strict=False)]
    return _factors(generator.integers(0, 6, (25, 40))), _interactions(actions, num_users=25, num_items=40)


@pytest.mark.parametrize("split", [Split.VALIDATION, Split.TEST])
def test_equals_a_plain_loop(split: Split) -> None:
    factors, interactions = _random(0)
    ranks = held_out_ranks(factors, interactions, split)
    acted = interactions.matrix(*Split).toarray()
    areas = METRICS["auc"](ranks)
    assert len(areas) > 10
    for user, item, area, rank in zip(ranks.user_ids, ranks.item_ids, areas, METRICS["mrr"](ranks), strict=True):
        scores = factors.scores(np.array([user]))[0]
        others = [other for other in range(40) if not acted[user, other]]
        won = sum(1.0 if scores[item] > scores[other] else 0.5 * (scores[item] == scores[other]) for other in others)
        assert area == pytest.approx(won / len(others))
        first = 1 + sum(scores[other] > scores[item] for other in others)
        last = first + sum(scores[other] == scores[item] for other in others)
        assert rank == pytest.approx(np.mean([1 / place for place in range(first, last + 1)]))


def test_summary_means_and_cold() -> None:
    """User 0 ranks item 2 first, user 1 ranks item 3 last; item 3 has one training action, item 2 two."""
    actions = [(0, 2, E), (1, 2, T), (1, 3, E), (2, 2, T), (2, 3, T)]
    interactions = _interactions(actions, num_users=3, num_items=4)
    ranks = held_out_ranks(_factors([[0, 0, 5, 0], [3, 3, 0, 1], [0, 0, 0, 0]]), interactions, Split.TEST)
    figures = summary(ranks, interactions, cold_threshold=2)
    assert figures["num_users"] == 2
    assert figures["num_cold"] == 1
    assert figures["auc"] == {"all": 0.5, "cold": 0.0}
    assert figures["mrr"] == pytest.approx((1 + 1 / 3) / 2)
    assert set(figures) == {"num_users", "num_cold", "auc", "recall@10", "ndcg@10", "mrr"}
    assert summary(ranks, interactions, cold_threshold=0)["auc"]["cold"] is None


def test_nobody_to_evaluate() -> None:
    interactions = _interactions([(0, 0, T)], num_users=1, num_items=2)
    ranks = held_out_ranks(_factors([[1, 2]]), interactions, Split.TEST)
    assert isinstance(ranks, Ranks)
    assert summary(ranks, interactions)["auc"] == {"all": None, "cold": None}
