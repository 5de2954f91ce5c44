"""Exact evaluation against the bare matrix products of the same size, and against a loop over users."""

from __future__ import annotations

import time

import numpy as np

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.evaluation.ranking import auc, held_out_ranks
from tfdvbpr.models.factors import Factors

NUM_USERS, NUM_ITEMS, DIM, ACTIONS = 4_000, 50_000, 64, 8
BLOCK = 512


def _catalogue() -> tuple[Factors, Interactions]:
    generator = np.random.default_rng(0)
    users = np.repeat(np.arange(NUM_USERS, dtype=np.int32), ACTIONS)
    items = generator.integers(0, NUM_ITEMS, len(users), dtype=np.int32)
    splits = np.tile(np.r_[[Split.TEST], np.full(ACTIONS - 1, Split.TRAIN)], NUM_USERS).astype(np.uint8)
    factors = Factors(
        generator.standard_normal((NUM_USERS, DIM), np.float32),
        generator.standard_normal((NUM_ITEMS, DIM), np.float32),
        np.zeros(NUM_ITEMS, np.float32),
    )
    return factors, Interactions(users, items, splits, NUM_USERS, NUM_ITEMS)


def _loop(factors: Factors, interactions: Interactions, num_users: int) -> list[float]:
    areas = []
    for user in range(num_users):
        own = interactions.item_ids[user * ACTIONS : (user + 1) * ACTIONS]
        scores = factors.item_embeddings @ factors.user_embeddings[user]
        others = np.setdiff1d(np.arange(NUM_ITEMS), own)
        held_out = scores[own[0]]
        areas.append(float((scores[others] < held_out).mean() + 0.5 * (scores[others] == held_out).mean()))
    return areas


def test_exact_auc_costs_little_more_than_its_products() -> None:
    factors, interactions = _catalogue()
    began = time.perf_counter()
    areas = auc(held_out_ranks(factors, interactions, Split.TEST))
    ours = time.perf_counter() - began
    began = time.perf_counter()
    for start in range(0, NUM_USERS, BLOCK):
        factors.user_embeddings[start : start + BLOCK] @ factors.item_embeddings.T
    products = time.perf_counter() - began
    sample = 200
    began = time.perf_counter()
    expected = _loop(factors, interactions, sample)
    loop = (time.perf_counter() - began) * NUM_USERS / sample
    np.testing.assert_allclose(areas[:sample], expected, atol=1e-4)
    print(
        f"\n{NUM_USERS} users x {NUM_ITEMS} items x {DIM}: exact AUC {ours:.2f} s, bare products {products:.2f} s "
        f"({ours / products:.1f} times), loop over users {loop:.1f} s ({loop / ours:.1f} times ours)"
    )
    assert ours < loop
