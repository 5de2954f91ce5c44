"""Our metrics against scikit-learn's and pytrec_eval's, on random scores with and without ties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import pytrec_eval
from sklearn.metrics import ndcg_score, roc_auc_score

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.evaluation.ranking.metrics import auc, average_precision, hit_rate, ndcg, recall, reciprocal_rank
from tfdvbpr.evaluation.ranking.ranks import Ranks, held_out_ranks
from tfdvbpr.models.recommenders.factors import Factors

NUM_USERS, NUM_ITEMS = 30, 120


@dataclass(frozen=True)
class Case:
    """Each user's candidates and held-out items: scores, and which are held out."""

    ranks: Ranks
    scores: list[npt.NDArray[np.float64]]
    held_out: list[npt.NDArray[np.bool_]]


def _case(seed: int, *, ties: bool) -> Case:
    """1 to 6 held-out items a user, 20 masked ones."""
    generator = np.random.default_rng(seed)
    table = np.stack([generator.permutation(NUM_ITEMS) for _ in range(NUM_USERS)]).astype(np.float32)
    if ties:
        table = np.floor(table / 8)
    rows = []
    for user in range(NUM_USERS):
        items = generator.choice(NUM_ITEMS, 20 + generator.integers(1, 7), replace=False)
        parts = [Split.TRAIN] * 12 + [Split.VALIDATION] * 4 + [Split.WITHHELD] * 4 + [Split.TEST] * (len(items) - 20)
        rows += sorted((user, int(item), int(part)) for item, part in zip(items, parts, strict=True))
    users, items, splits = np.array(rows).T
    interactions = Interactions(
        users.astype(np.int32), items.astype(np.int32), splits.astype(np.uint8), NUM_USERS, NUM_ITEMS
    )
    factors = Factors(table, np.eye(NUM_ITEMS, dtype=np.float32), np.zeros(NUM_ITEMS, np.float32))
    test = interactions.matrix(Split.TEST).toarray()
    known = interactions.matrix(Split.TRAIN, Split.VALIDATION, Split.WITHHELD).toarray()
    return Case(
        held_out_ranks(factors, interactions, Split.TEST),
        [table[user, ~known[user]].astype(np.float64) for user in range(NUM_USERS)],
        [test[user, ~known[user]] for user in range(NUM_USERS)],
    )


@pytest.mark.parametrize("ties", [False, True])
def test_auc_and_ndcg_equal_scikit_learns(ties: bool) -> None:
    """Both average over ties as we do."""
    case = _case(0, ties=ties)
    pairs = list(zip(case.scores, case.held_out, strict=True))
    expected = [roc_auc_score(held_out, scores) for scores, held_out in pairs]
    np.testing.assert_allclose(auc(case.ranks), expected, atol=1e-6)
    for k in (1, 5, 10, 200):
        expected = [ndcg_score([held_out], [scores], k=k) for scores, held_out in pairs]
        np.testing.assert_allclose(ndcg(case.ranks, k=k), expected, atol=1e-6)


def _trec(case: Case, order: np.random.Generator | None = None) -> dict[str, npt.NDArray[np.float64]]:
    """pytrec_eval's metrics; with a generator, one random order of the tied items."""
    relevance, run = {}, {}
    for user, (scores, held_out) in enumerate(zip(case.scores, case.held_out, strict=True)):
        shuffled = np.lexsort((order.random(len(scores)) if order else np.arange(len(scores)), -scores))
        positions = np.empty(len(scores))
        positions[shuffled] = np.arange(len(scores), 0, -1)
        relevance[f"u{user}"] = {f"i{item}": int(held_out[item]) for item in range(len(scores))}
        run[f"u{user}"] = {f"i{item}": float(positions[item]) for item in range(len(scores))}
    measures = {"recall.1,5,10", "ndcg_cut.1,5,10", "success.5", "recip_rank", "map_cut.10", "map"}
    found = pytrec_eval.RelevanceEvaluator(relevance, measures).evaluate(run)
    names = next(iter(found.values()))
    return {name: np.array([found[f"u{user}"][name] for user in range(NUM_USERS)]) for name in names}


def test_equal_pytrec_evals_without_ties() -> None:
    case = _case(1, ties=False)
    expected = _trec(case)
    for k in (1, 5, 10):
        np.testing.assert_allclose(recall(case.ranks, k=k), expected[f"recall_{k}"], atol=1e-6)
        np.testing.assert_allclose(ndcg(case.ranks, k=k), expected[f"ndcg_cut_{k}"], atol=1e-6)
    np.testing.assert_allclose(hit_rate(case.ranks, k=5), expected["success_5"], atol=1e-6)
    np.testing.assert_allclose(reciprocal_rank(case.ranks), expected["recip_rank"], atol=1e-6)
    np.testing.assert_allclose(average_precision(case.ranks, k=10), expected["map_cut_10"], atol=1e-6)
    np.testing.assert_allclose(average_precision(case.ranks, k=NUM_ITEMS), expected["map"], atol=1e-6)


def test_are_the_expectation_of_pytrec_evals_over_orders_of_the_tied() -> None:
    """pytrec_eval takes one order; over many random orders its mean is ours, within 5 standard errors."""
    case, generator, times = _case(2, ties=True), np.random.default_rng(0), 100
    sampled = [_trec(case, generator) for _ in range(times)]
    for ours, name in (
        (recall(case.ranks, k=10), "recall_10"),
        (hit_rate(case.ranks, k=5), "success_5"),
        (reciprocal_rank(case.ranks), "recip_rank"),
        (average_precision(case.ranks, k=10), "map_cut_10"),
    ):
        seen = np.stack([each[name] for each in sampled])
        assert (np.abs(seen.mean(axis=0) - ours) <= 5 * seen.std(axis=0) / np.sqrt(times) + 1e-9).all(), name
