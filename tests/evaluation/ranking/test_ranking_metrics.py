from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.ranking.evaluate import per_user_metrics, summarise
from tfdvbpr.evaluation.ranking.metrics import (
    METRICS,
    Rankings,
    auc,
    find_metric,
    metric_names,
    recall,
    reciprocal_rank,
)
from tfdvbpr.evaluation.ranking.ranks import held_out_ranks
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


def test_a_constant_model_gains_nothing_from_the_catalogue_order() -> None:
    interactions = _interactions([(0, 0, E), (1, 19, E)], num_users=2, num_items=20)
    ranks = held_out_ranks(_factors(np.zeros((2, 20))), interactions, Split.TEST)
    np.testing.assert_allclose(auc(ranks), 0.5)
    np.testing.assert_allclose(recall(ranks, k=10), 0.5)
    np.testing.assert_allclose(reciprocal_rank(ranks), (1 / np.arange(1, 21)).mean())


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
        wins = sum(1.0 if scores[item] > scores[other] else 0.5 * (scores[item] == scores[other]) for other in others)
        assert area == pytest.approx(wins / len(others))
        first = 1 + sum(scores[other] > scores[item] for other in others)
        last = first + sum(scores[other] == scores[item] for other in others)
        assert rank == pytest.approx(np.mean([1 / position for position in range(first, last + 1)]))


def test_means_over_users_and_cold_items() -> None:
    """User 0 ranks item 2 first, user 1 ranks item 3 last; item 3 has one training action, item 2 two."""
    actions = [(0, 2, E), (1, 2, T), (1, 3, E), (2, 2, T), (2, 3, T)]
    interactions = _interactions(actions, num_users=3, num_items=4)
    factors = _factors([[0, 0, 5, 0], [3, 3, 0, 1], [0, 0, 0, 0]])

    def means(cold_threshold: int) -> dict[str, Any]:
        rankings = Rankings(factors, interactions, Split.TEST, cold_threshold=cold_threshold)
        return summarise(per_user_metrics(rankings, metric_names(lists=False)))

    metrics = means(2)
    assert metrics["num_users"] == 2
    assert metrics["num_cold"] == 1
    assert metrics["num_held_out"] == 2
    assert metrics["auc"] == {"all": 0.5, "cold": 0.0, "warm": 1.0}
    assert metrics["auc_interval"]["all"] == [0.0, 1.0]
    assert metrics["auc_interval"]["warm"] == [1.0, 1.0]
    assert metrics["mrr"] == pytest.approx((1 + 1 / 3) / 2)
    assert [name for name in metrics if name.endswith("@10")] == ["recall@10", "hit_rate@10", "ndcg@10", "map@10"]
    without = means(0)
    assert (without["auc"]["cold"], without["auc_interval"]["cold"]) == (None, None)


def test_no_held_out_actions() -> None:
    rankings = Rankings(_factors([[1, 2]]), _interactions([(0, 0, T)], num_users=1, num_items=2), Split.TEST)
    assert summarise(per_user_metrics(rankings, metric_names()))["auc"] == {"all": None, "cold": None, "warm": None}


def _orders(scores: np.ndarray, items: list[int]) -> list[list[int]]:
    """Every ranking of the items by score, tied ones in every order."""
    levels = [[item for item in items if scores[item] == score] for score in sorted(set(scores[items]), reverse=True)]
    return [[*itertools.chain(*order)] for order in itertools.product(*map(itertools.permutations, levels))]


def _textbook(order: list[int], held_out: set[int], k: int) -> dict[str, float]:
    hits = [float(item in held_out) for item in order]
    best = sorted(hits, reverse=True)
    gain = [1 / np.log2(position + 2) for position in range(len(hits))]
    precision = [sum(hits[: position + 1]) / (position + 1) for position in range(len(hits))]
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
    rankings = Rankings(_factors(scores[None]), interactions, Split.TEST)
    by_order = [_textbook(order, held_out, k) for order in _orders(scores, list(range(8)))]
    for name in by_order[0]:
        expected = np.mean([metrics[name] for metrics in by_order])
        assert METRICS[name].compute(rankings, k)[0] == pytest.approx(expected), name


def test_cold_and_warm_held_out_items_of_one_user() -> None:
    """Item 0 is warm and first, item 1 cold and last; user 1 has a warm one alone, in the middle."""
    actions = [(0, 0, E), (0, 1, E), (1, 0, E), (2, 0, T), (3, 0, T)]
    interactions = _interactions(actions, num_users=4, num_items=5)
    table = np.array([[9, 0, 1, 2, 3], [2, 1, 1, 3, 3], [0] * 5, [0] * 5])
    users = per_user_metrics(Rankings(_factors(table), interactions, Split.TEST, cold_threshold=2), metric_names())
    assert users["auc"].to_list() == [0.5, 0.5]
    assert users["auc_cold"].to_list() == [0.0, None]
    assert users["auc_warm"].to_list() == [1.0, 0.5]
    assert users["num_held_out"].to_list() == [2, 1]
    assert users["num_cold"].to_list() == [1, 0]
    assert users["diversity@10"].to_list() == [None, None]
    metrics = summarise(users)
    assert (metrics["num_users"], metrics["num_held_out"], metrics["num_cold"]) == (2, 3, 1)
    assert metrics["auc"] == {"all": 0.5, "cold": 0.0, "warm": 0.75}


def test_metric_names() -> None:
    assert find_metric("recall@20") == (METRICS["recall@k"], 20)
    assert find_metric("mrr") == (METRICS["mrr"], 0)
    for wrong in ("recall", "recall@0", "auc_cold@5", "accuracy", "recall@ten", "recall@k", "", "auc@3"):
        with pytest.raises(ConfigError, match=f"one of auc, auc_cold.*Received '{wrong}'"):
            find_metric(wrong)
