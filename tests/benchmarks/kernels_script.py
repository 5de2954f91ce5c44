"""Ranking metrics of fixed factors under the BLAS kernel of this process, as JSON; started by test_kernels_agree.py."""

from __future__ import annotations

import json

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_info

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.evaluation.ranking.metrics import auc, ndcg, recall
from tfdvbpr.evaluation.ranking.ranks import held_out_ranks
from tfdvbpr.evaluation.ranking.top_k import best_items
from tfdvbpr.models.recommenders.factors import Factors

NUM_USERS, NUM_ITEMS, DIM = 600, 5000, 50


def factors(kind: str) -> Factors:
    """Whole numbers, whose scores no order of summation changes, or normal ones; one item in ten is a copy."""
    generator = np.random.default_rng(0)
    if kind == "whole":
        tables = [generator.integers(-3, 4, (rows, DIM)) for rows in (NUM_USERS, NUM_ITEMS)]
    else:
        tables = [generator.standard_normal((rows, DIM)) for rows in (NUM_USERS, NUM_ITEMS)]
    users, items = (table.astype(np.float32) for table in tables)
    copies = generator.choice(NUM_ITEMS, (2, NUM_ITEMS // 10), replace=False)
    items[copies[0]] = items[copies[1]]
    return Factors(users, items, np.zeros(NUM_ITEMS, np.float32))


def interactions() -> Interactions:
    """Two held-out items a user; one of four is a copy or has one."""
    acted = sparse.random(NUM_USERS, NUM_ITEMS, 0.004, format="coo", random_state=1)
    splits = np.where(np.arange(acted.nnz) % 5 == 0, Split.TEST, Split.TRAIN).astype(np.uint8)
    return Interactions(acted.row.astype(np.int32), acted.col.astype(np.int32), splits, NUM_USERS, NUM_ITEMS)


def main() -> None:
    """Prints the kernel and, for each kind of factors, ties and metrics."""
    known = interactions()
    found: dict[str, object] = {"kernel": sorted({str(pool.get("architecture")) for pool in threadpool_info()})}
    for kind in ("whole", "normal"):
        ranks = held_out_ranks(factors(kind), known, Split.TEST)
        lists = best_items(factors(kind), known, Split.TEST, k=10)
        found[kind] = {
            "ties": int(ranks.num_equal.sum()),
            "auc": float(auc(ranks).mean()).hex(),
            "recall@10": float(recall(ranks, k=10).mean()).hex(),
            "ndcg@10": float(ndcg(ranks, k=10).mean()).hex(),
            "lists": int((lists * np.arange(1, 11)).sum()),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
