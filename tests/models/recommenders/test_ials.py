from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import sparse

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.models.recommenders import RECOMMENDERS, ials, recommender_config

VALUES: dict[str, Any] = {"embedding_dim": 3, "unobserved_weight": 0.2, "weight_l2": 0.05}


def _interactions() -> Interactions:
    users, items = np.nonzero(np.random.default_rng(0).random((12, 9)) < 0.4)
    splits = np.full(len(users), Split.TRAIN, np.uint8)
    return Interactions(users.astype(np.int32), items.astype(np.int32), splits, 12, 9)


def _loss(acted: np.ndarray, users: np.ndarray, items: np.ndarray) -> float:
    """The objective as the paper writes it."""
    scores, (num_users, num_items) = users @ items.T, acted.shape
    user_penalty = (acted.sum(axis=1) + 0.2 * num_items) @ (users**2).sum(axis=1)
    item_penalty = (acted.sum(axis=0) + 0.2 * num_users) @ (items**2).sum(axis=1)
    return float((acted * (scores - 1) ** 2).sum() + 0.2 * (scores**2).sum() + 0.05 * (user_penalty + item_penalty))


def test_rows_solve_their_normal_equations() -> None:
    generator = np.random.default_rng(1)
    acted, others = generator.random((7, 20)) < 0.3, generator.standard_normal((20, 4))
    acted[3] = False
    found = ials.solve_side(sparse.csr_array(acted), others, unobserved_weight=0.2, l2=0.05)
    for row in range(7):
        # Weighted least squares on all 20 pairs: the targets are 1 / (1 + α₀) where acted, with weight 1 + α₀.
        weights = acted[row] + 0.2
        left = others.T @ (weights[:, None] * others) + 0.05 * (acted[row].sum() + 0.2 * 20) * np.eye(4)
        np.testing.assert_allclose(left @ found[row], others.T @ acted[row], atol=1e-10)
    assert not found[3].any()


def test_each_epoch_lowers_the_objective_and_users_are_at_its_minimum() -> None:
    interactions = _interactions()
    acted = interactions.training_matrix.toarray().astype(float)
    losses = []
    for epochs in (1, 2, 5, 40):
        config = recommender_config("ials", epochs=epochs, **VALUES)
        factors = RECOMMENDERS["ials"].closed_form(config, interactions, None)
        losses.append(_loss(acted, factors.user_embeddings, factors.item_embeddings))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 1e-3
    for step in np.random.default_rng(2).standard_normal((20, 12, 3)) * 0.01:
        assert _loss(acted, factors.user_embeddings + step, factors.item_embeddings) > losses[-1]


def test_fold_in_gives_the_users_of_the_training_again() -> None:
    interactions, config = _interactions(), recommender_config("ials", **VALUES)
    factors = RECOMMENDERS["ials"].closed_form(config, interactions, None)
    folding = RECOMMENDERS["ials"].fold_in(SimpleNamespace(factors=factors, config=config))
    matrix = interactions.training_matrix
    acted = np.flatnonzero(np.diff(matrix.indptr))
    found = folding([matrix[user].indices for user in acted])
    np.testing.assert_allclose(found, factors.user_embeddings[acted], atol=1e-4)


def test_another_seed_gives_another_model() -> None:
    first, other = (
        RECOMMENDERS["ials"].closed_form(recommender_config("ials", seed=seed, **VALUES), _interactions(), None)
        for seed in (0, 1)
    )
    assert np.abs(first.user_embeddings - other.user_embeddings).max() > 1e-3
