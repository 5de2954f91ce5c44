from __future__ import annotations

import itertools

import numpy as np
import pytest

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.ranking.metrics import (
    METRICS,
    Ranks,
    auc,
    average_precision,
    held_out_ranks,
    hit_rate,
    ndcg,
    recall,
    reciprocal_rank,
)
from tfdvbpr.evaluation.ranking.per_user import metric_names, per_user_table, split_name
from tfdvbpr.evaluation.ranking.summary import summarise, summary
from tfdvbpr.models.recommenders.factors import Factors


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
    assert auc(ranks)[0] == pytest.approx((2 + 0.5 * 2) / 5)
    # The held-out item stands 2nd, 3rd or 4th, each as likely as the others.
    assert reciprocal_rank(ranks)[0] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)
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
        assert metric(ranks, 10)[0] == pytest.approx(expected or worst), name


def test_a_constant_model_gains_nothing_from_the_catalogue_order() -> None:
    interactions = _interactions([(0, 0, E), (1, 19, E)], num_users=2, num_items=20)
    ranks = held_out_ranks(_factors(np.zeros((2, 20))), interactions, Split.TEST)
    np.testing.assert_allclose(auc(ranks), 0.5)
    np.testing.assert_allclose(recall(ranks, k=10), 0.5)
    np.testing.assert_allclose(reciprocal_rank(ranks), (1 / np.arange(1, 21)).mean())


def test_no_candidate_left() -> None:
    interactions = _interactions([(0, 0, T), (0, 1, E)], num_users=1, num_items=2)
    ranks = held_out_ranks(_factors([[5, 0]]), interactions, Split.TEST)
    assert {name: metric(ranks, 10)[0] for name, metric in METRICS.items()} == {
        "auc": 0.5,
        "recall@k": 1.0,
        "hit_rate@k": 1.0,
        "ndcg@k": 1.0,
        "map@k": 1.0,
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
    areas = auc(ranks)
    assert len(areas) > 10
    for user, item, area, rank in zip(ranks.user_ids, ranks.item_ids, areas, reciprocal_rank(ranks), strict=True):
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
    assert figures["num_held_out"] == 2
    assert figures["auc"] == {"all": 0.5, "cold": 0.0, "warm": 1.0}
    assert figures["auc_interval"]["all"] == [0.0, 1.0]
    assert figures["auc_interval"]["warm"] == [1.0, 1.0]
    assert figures["mrr"] == pytest.approx((1 + 1 / 3) / 2)
    assert [name for name in figures if name.endswith("@10")] == ["recall@10", "hit_rate@10", "ndcg@10", "map@10"]
    without = summary(ranks, interactions, cold_threshold=0)
    assert (without["auc"]["cold"], without["auc_interval"]["cold"]) == (None, None)


def test_nobody_to_evaluate() -> None:
    interactions = _interactions([(0, 0, T)], num_users=1, num_items=2)
    ranks = held_out_ranks(_factors([[1, 2]]), interactions, Split.TEST)
    assert isinstance(ranks, Ranks)
    assert summary(ranks, interactions)["auc"] == {"all": None, "cold": None, "warm": None}


def test_several_held_out_by_hand() -> None:
    """Order: held-out 2, candidate 4, then held-out 3 and candidate 5 tied, then 6 and 7; 0 and 1 are masked."""
    interactions = _interactions([(0, 0, T), (0, 1, V), (0, 2, E), (0, 3, E)], num_users=1, num_items=8)
    ranks = held_out_ranks(_factors([[9, 9, 8, 5, 7, 5, 1, 0]]), interactions, Split.TEST)
    assert auc(ranks)[0] == pytest.approx((4 / 4 + 2.5 / 4) / 2)
    # Held-out 3 takes place 3 or 4.
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
    """Candidate 4 first; held-out 2 and 3 share places 2, 3 and 4 with candidate 5."""
    interactions = _interactions([(0, 0, T), (0, 2, E), (0, 3, E)], num_users=1, num_items=6)
    ranks = held_out_ranks(_factors([[9, 0, 5, 5, 7, 5]]), interactions, Split.TEST)
    assert recall(ranks, k=2)[0] == pytest.approx(1 / 3)
    assert hit_rate(ranks, k=2)[0] == pytest.approx(2 / 3)
    assert hit_rate(ranks, k=3)[0] == pytest.approx(1)
    # Places of the two: (2, 3), (2, 4) or (3, 4), each as likely as the others.
    assert reciprocal_rank(ranks)[0] == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)
    precisions = (1 / 2 + 2 / 3) + (1 / 2 + 2 / 4) + (1 / 3 + 2 / 4)
    assert average_precision(ranks, k=10)[0] == pytest.approx(precisions / 3 / 2)


def _orders(scores: np.ndarray, items: list[int]) -> list[list[int]]:
    """Every ranking of the items by score, tied ones in every order."""
    levels = [[item for item in items if scores[item] == score] for score in sorted(set(scores[items]), reverse=True)]
    return [[*itertools.chain(*order)] for order in itertools.product(*map(itertools.permutations, levels))]


def _textbook(order: list[int], held_out: set[int], k: int) -> dict[str, float]:
    hits = [float(item in held_out) for item in order]
    best = sorted(hits, reverse=True)
    gain = [1 / np.log2(place + 2) for place in range(len(hits))]
    precision = [sum(hits[: place + 1]) / (place + 1) for place in range(len(hits))]
    return {
        "recall@k": sum(hits[:k]) / len(held_out),
        "hit_rate@k": max(hits[:k]),
        "ndcg@k": np.dot(hits[:k], gain[:k]) / np.dot(best[:k], gain[:k]),
        "map@k": np.dot(hits[:k], precision[:k]) / min(len(held_out), k),
        "mrr": 1 / (1 + hits.index(1.0)),
    }


@pytest.mark.parametrize("k", [1, 2, 4, 9])
@pytest.mark.parametrize("seed", range(12))
def test_the_expectation_is_the_mean_over_every_order_of_the_tied(seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    held_out = set(generator.choice(8, generator.integers(1, 5), replace=False).tolist())
    scores = generator.integers(0, 3, 8).astype(np.float64)
    interactions = _interactions([(0, item, E) for item in held_out], num_users=1, num_items=8)
    ranks = held_out_ranks(_factors(scores[None]), interactions, Split.TEST)
    told = [_textbook(order, held_out, k) for order in _orders(scores, list(range(8)))]
    for name, metric in METRICS.items():
        if name != "auc":
            assert metric(ranks, k)[0] == pytest.approx(np.mean([figures[name] for figures in told])), name


def test_cold_and_warm_held_out_items_of_one_user() -> None:
    """Item 0 is warm and first, item 1 cold and last; user 1 has a warm one alone, in the middle."""
    actions = [(0, 0, E), (0, 1, E), (1, 0, E), (2, 0, T), (3, 0, T)]
    interactions = _interactions(actions, num_users=4, num_items=5)
    table = np.array([[9, 0, 1, 2, 3], [2, 1, 1, 3, 3], [0] * 5, [0] * 5])
    ranks = held_out_ranks(_factors(table), interactions, Split.TEST)
    users = per_user_table(ranks, interactions, metric_names(), cold_threshold=2)
    assert users["auc"].to_list() == [0.5, 0.5]
    assert users["auc_cold"].to_list() == [0.0, None]
    assert users["auc_warm"].to_list() == [1.0, 0.5]
    assert users["num_held_out"].to_list() == [2, 1]
    assert users["num_cold"].to_list() == [1, 0]
    assert users["diversity@10"].to_list() == [None, None]
    figures = summarise(users)
    assert (figures["num_users"], figures["num_held_out"], figures["num_cold"]) == (2, 3, 1)
    assert figures["auc"] == {"all": 0.5, "cold": 0.0, "warm": 0.75}


def test_metric_names() -> None:
    assert split_name("recall@20") == ("recall@k", 20)
    assert split_name("mrr") == ("mrr", 0)
    for wrong in ("recall", "recall@0", "mrr@5", "accuracy", "recall@ten", "", "auc@3"):
        with pytest.raises(ConfigError, match=f"one of auc, auc_cold.*Received '{wrong}'"):
            split_name(wrong)
    with pytest.raises(ConfigError, match="at least 1"):
        metric_names(0)
