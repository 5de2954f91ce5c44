"""People folded in from 5 items against the same people trained on the same 5 items; and how many a second.

Two trainings on one synthetic catalogue. In the first, every tenth shopper with enough actions is trained on 5 of her
items; in the second, on none of them: these shoppers are folded in from the same 5 items afterwards. Both are asked
for her test item among everything she never acted on.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.evaluation.ranking.metrics import auc
from tfdvbpr.evaluation.ranking.ranks import held_out_ranks
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.models.recommenders.fold_in import FoldIn
from tfdvbpr.run import Run

KNOWN, CLOSE = 5, 0.02
MODELS: dict[str, dict[str, Any]] = {
    "dvbpr": {"epochs": 15},
    "bpr-mf": {},
    "vbpr": {"epochs": 20},
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("fold-in") / "dataset"
    return api.prepare(None, folder, source_format="synthetic", importer_options={"num_users": 2000})


def _newcomers(interactions: Interactions) -> np.ndarray:
    """bool [num_users]: a tenth of all users, of those with at least 5 training actions."""
    enough = np.flatnonzero(np.diff(interactions.training_matrix.indptr) >= KNOWN)
    chosen = np.zeros(interactions.num_users, bool)
    chosen[np.random.default_rng(0).choice(enough, interactions.num_users // 10, replace=False)] = True
    return chosen


def _with_known(interactions: Interactions, newcomers: np.ndarray, known: int) -> Interactions:
    """The newcomers keep their first `known` training actions (in the order of the items, which says nothing of taste);
    the others are masked as positives and not trained on. So are their validation actions."""
    splits = interactions.splits.copy()
    for user in np.flatnonzero(newcomers):
        own = np.flatnonzero(interactions.user_ids == user)
        splits[own[splits[own] == Split.TRAIN][known:]] = Split.WITHHELD
        splits[own[splits[own] == Split.VALIDATION]] = Split.WITHHELD
    return Interactions(
        interactions.user_ids, interactions.item_ids, splits, interactions.num_users, interactions.num_items
    )


def _train(dataset: PreparedDataset, interactions: Interactions, output: Path, model: str) -> Run:
    changed = PreparedDataset(dataset.path, dataset.manifest)
    changed.interactions = interactions  # in the place of those that it would read
    return api.train(changed, output, config=recommender_config(model, **MODELS[model]))


def _auc(factors: Factors, interactions: Interactions, newcomers: np.ndarray) -> np.ndarray:
    ranks = held_out_ranks(factors, interactions, Split.TEST)
    return auc(ranks)[newcomers[ranks.user_ids]]


@pytest.mark.parametrize("model", MODELS)
def test_folding_in_is_as_good_as_training(dataset: PreparedDataset, tmp_path: Path, model: str) -> None:
    newcomers = _newcomers(dataset.interactions)
    known = _with_known(dataset.interactions, newcomers, KNOWN)
    full = _train(dataset, known, tmp_path / "full", model)
    without = _train(dataset, _with_known(dataset.interactions, newcomers, 0), tmp_path / "without", model)
    rows = np.flatnonzero(newcomers)
    liked = [known.training_matrix[user].indices for user in rows]
    assert {len(items) for items in liked} == {KNOWN}
    assert not np.diff(without.interactions.training_matrix.indptr)[rows].any()

    users = without.factors.user_embeddings.copy()
    users[rows] = without.folding(liked)
    folded = Factors(users, without.factors.item_embeddings, without.factors.item_biases)
    mean_user = users.copy()
    mean_user[rows] = without.factors.user_embeddings[~newcomers].mean(axis=0)
    unknown = Factors(mean_user, without.factors.item_embeddings, without.factors.item_biases)
    trained, new, mean = (_auc(each, known, newcomers) for each in (full.factors, folded, unknown))
    error = float((new - trained).std() / np.sqrt(len(new)))
    print(
        f"\n{model}: {len(new)} people with {KNOWN} known items, AUC trained in full {trained.mean():.4f}, "
        f"folded in {new.mean():.4f} (difference {new.mean() - trained.mean():+.4f}, standard error {error:.4f}), "
        f"mean user {mean.mean():.4f}; {_speed(without.folding, liked):,.0f} users/s"
    )
    assert new.mean() > trained.mean() - CLOSE
    assert new.mean() > mean.mean() + CLOSE


def _speed(folding: FoldIn, liked: list[np.ndarray]) -> float:
    """Users a second, over 2,000 of them and after a first call."""
    many = (liked * (2000 // len(liked) + 1))[:2000]
    folding(many[:10])
    began = time.perf_counter()
    folding(many)
    return len(many) / (time.perf_counter() - began)


@pytest.mark.parametrize("fitted", [False, True], ids=["closed form", "fitted"])
def test_speed_on_a_large_catalogue(fitted: bool) -> None:
    """234,892 items of 100 numbers, the paper's largest catalogue but one; the fit ranks against 2,048 of them."""
    generator = np.random.default_rng(0)
    items = generator.standard_normal((234_892, 100), np.float32)
    factors = Factors(generator.standard_normal((10, 100), np.float32), items, np.zeros(len(items), np.float32))
    others = np.sort(generator.choice(len(items), 2048, replace=False)).astype(np.int32)
    folding = FoldIn.from_fit(factors, others=others, user_l2=0.1) if fitted else FoldIn.from_means(factors, items)
    liked = [generator.choice(len(items), KNOWN, replace=False).astype(np.int32) for _ in range(2000)]
    print(f"\n234,892 items x 100, {KNOWN} liked items, {_speed(folding, liked):,.0f} users/s")
