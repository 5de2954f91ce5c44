"""The authors' estimate, trap by trap."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.evaluation.ranking.legacy import legacy_sampled_areas
from tfdvbpr.evaluation.ranking.metrics import METRICS, Rankings, auc
from tfdvbpr.evaluation.ranking.ranks import held_out_ranks
from tfdvbpr.models.recommenders.factors import Factors

T, V, E = Split.TRAIN, Split.VALIDATION, Split.TEST


def _catalogue(*, num_users: int = 60, num_items: int = 400, seed: int = 0) -> tuple[Factors, Interactions]:
    generator = np.random.default_rng(seed)
    users = np.repeat(np.arange(num_users, dtype=np.int32), 8)
    items = np.concatenate([generator.choice(num_items, 8, replace=False) for _ in range(num_users)]).astype(np.int32)
    splits = np.tile(np.array([V, E, *[T] * 6], np.uint8), num_users)
    factors = Factors(
        generator.standard_normal((num_users, 4)).astype(np.float32),
        generator.standard_normal((num_items, 4)).astype(np.float32),
        generator.standard_normal(num_items).astype(np.float32),
    )
    return factors, Interactions(users, items, splits, num_users, num_items)


def _theirs(factors: Factors, interactions: Interactions, *, num_sampled: int, seed: int) -> float:
    """AUC of the authors' main.py, line by line."""
    sampler, areas = random.Random(seed), []
    for user in range(interactions.num_users):
        mine = interactions.user_ids == user
        train = set(interactions.item_ids[mine & (interactions.splits == T)].tolist())
        held_out = int(interactions.item_ids[mine & (interactions.splits == E)][0])
        scores = factors.scores(np.array([user]))[0]
        negatives = [
            j for j in sampler.sample(range(interactions.num_items), num_sampled) if j not in train | {held_out}
        ]
        areas.append(np.mean([scores[held_out] > scores[j] for j in negatives]))
    return float(np.mean(areas))


def test_equals_theirs_where_everything_is_sampled() -> None:
    factors, interactions = _catalogue()
    ours = legacy_sampled_areas(factors, interactions, E, num_sampled=400).mean()
    theirs = _theirs(factors, interactions, num_sampled=400, seed=0)
    assert ours == pytest.approx(theirs)
    # The unmasked validation items are 60 of the negatives: near the exact figure, but another.
    exact = auc(held_out_ranks(factors, interactions, E)).mean()
    assert 0 < abs(theirs - exact) < 0.01


def test_is_an_estimate_of_theirs_and_follows_its_seed() -> None:
    factors, interactions = _catalogue()
    ours = [legacy_sampled_areas(factors, interactions, E, seed=seed).mean() for seed in range(20)]
    theirs = [_theirs(factors, interactions, num_sampled=100, seed=seed) for seed in range(20)]
    assert len(set(ours)) > 10
    assert legacy_sampled_areas(factors, interactions, E, seed=3).mean() == ours[3]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=0.005)
    assert np.std(ours) == pytest.approx(np.std(theirs), rel=0.6)


def test_a_tie_counts_nothing() -> None:
    factors, interactions = _catalogue()
    constant = Factors(factors.user_embeddings * 0, factors.item_embeddings, factors.item_biases * 0)
    assert legacy_sampled_areas(constant, interactions, E).mean() == 0.0
    assert auc(held_out_ranks(constant, interactions, E)).mean() == 0.5


def test_the_validation_item_is_a_negative_at_test_time() -> None:
    """One user, three items: trained 0, validation 1, test 2; the only negative is the validation item."""
    interactions = Interactions(
        np.zeros(3, np.int32), np.arange(3, dtype=np.int32), np.array([T, V, E], np.uint8), 1, 3
    )
    scores = np.array([[5, 4, 3]], np.float32)
    factors = Factors(scores, np.eye(3, dtype=np.float32), np.zeros(3, np.float32))
    names = ("legacy_sampled_auc", "legacy_sampled_auc_cold", "legacy_sampled_auc_warm")
    found = [METRICS[name].compute(Rankings(factors, interactions, E), 0) for name in names]
    np.testing.assert_array_equal(found, [[0.0], [0.0], [np.nan]])


def test_an_action_without_negatives_is_left_out() -> None:
    interactions = Interactions(np.zeros(2, np.int32), np.arange(2, dtype=np.int32), np.array([T, E], np.uint8), 1, 2)
    factors = Factors(np.ones((1, 1), np.float32), np.ones((2, 1), np.float32), np.zeros(2, np.float32))
    assert np.isnan(legacy_sampled_areas(factors, interactions, E)).all()
