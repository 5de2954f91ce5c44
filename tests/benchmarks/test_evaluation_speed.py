"""Exact AUC at the paper's scale against the bare matrix products of the same size, and against a loop over users."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable

import numpy as np

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.evaluation.ranking.metrics import auc
from tfdvbpr.evaluation.ranking.ranks import held_out_ranks
from tfdvbpr.models.recommenders.factors import Factors

# The sizes of the authors' AmazonFashion set, 8 actions a user.
NUM_USERS, NUM_ITEMS, DIM, ACTIONS = 64_583, 234_892, 100, 8
BLOCK = 256
LOOPED_USERS = 100
MOST_TIMES, MOST_BYTES = 1.5, 2 << 30


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


def _evaluate() -> tuple[float, int, np.ndarray]:
    """Seconds, the process's peak memory in bytes, and the first areas."""
    factors, interactions = _catalogue()
    began = time.perf_counter()
    areas = auc(held_out_ranks(factors, interactions, Split.TEST))
    seconds = time.perf_counter() - began
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, areas[:LOOPED_USERS]


def _products() -> float:
    factors, _ = _catalogue()
    scores = np.empty((BLOCK, NUM_ITEMS), np.float32)
    began = time.perf_counter()
    for start in range(0, NUM_USERS, BLOCK):
        users = factors.user_embeddings[start : start + BLOCK]
        np.matmul(users, factors.item_embeddings.T, out=scores[: len(users)])
    return time.perf_counter() - began


def _loop() -> tuple[float, list[float]]:
    """Seconds that all users would take, from the first few, and their areas."""
    factors, interactions = _catalogue()
    everything = np.arange(NUM_ITEMS)
    areas = []
    began = time.perf_counter()
    for user in range(LOOPED_USERS):
        own = interactions.item_ids[user * ACTIONS : (user + 1) * ACTIONS]
        scores = factors.item_embeddings @ factors.user_embeddings[user]
        others = np.setdiff1d(everything, own)
        held_out = scores[own[0]]
        areas.append(float((scores[others] < held_out).mean() + 0.5 * (scores[others] == held_out).mean()))
    return (time.perf_counter() - began) * NUM_USERS / LOOPED_USERS, areas


def _alone(measure: Callable[[], object]) -> object:
    """What a function says in a process of its own, so that its peak memory is its own too."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure)


def test_exact_auc_costs_little_more_than_its_products() -> None:
    seconds, peak, areas = _alone(_evaluate)
    products = _alone(_products)
    loop, expected = _alone(_loop)
    np.testing.assert_allclose(areas, expected, atol=1e-5)
    print(
        f"\n{NUM_USERS} users x {NUM_ITEMS} items x {DIM}: exact AUC {seconds:.1f} s, bare blocked products "
        f"{products:.1f} s (ratio {seconds / products:.2f}), loop over users {loop:.0f} s "
        f"({loop / seconds:.0f} times ours); peak memory of the process {peak / 2**20:.0f} MiB"
    )
    assert seconds <= MOST_TIMES * products
    assert peak <= MOST_BYTES
