"""Folding people into runs of every model."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_data import RunOf

from tfdvbpr.errors import UnknownIdError
from tfdvbpr.models.recommenders import RECOMMENDERS
from tfdvbpr.run import Run

EVEN, ODD = ["i0", "i2", "i4"], ["i1", "i5"]


def _own_items(run: Run) -> list[list[str]]:
    matrix = run.interactions.training_matrix
    return [[run.items.item_ids[item] for item in matrix[user].indices] for user in range(run.manifest.num_users)]


@pytest.mark.parametrize("name", ["dvbpr", "visrank", "siamese", "popularity"])
def test_users_in_closed_form_come_back_from_their_own_items(run_of: RunOf, name: str) -> None:
    run = run_of(name)
    np.testing.assert_allclose(run.fold_in(_own_items(run)), run.factors.user_embeddings, atol=1e-4)


def test_a_hybrid_user_has_a_closed_and_a_fitted_part(run_of: RunOf) -> None:
    run = run_of("hybrid-dvbpr")
    users = run.fold_in(_own_items(run))
    np.testing.assert_allclose(users[:, :4], run.tastes, atol=1e-4)
    assert users.shape == run.factors.user_embeddings.shape == (8, 7)


@pytest.mark.parametrize("name", [*RECOMMENDERS, "free"])
def test_somebody_new_is_recommended_for(run_of: RunOf, name: str) -> None:
    run = run_of(name)
    users = run.fold_in([EVEN, ODD, []])
    assert users.dtype == np.float32
    assert np.isfinite(users).all()
    np.testing.assert_allclose(users[2], run.factors.user_embeddings.mean(axis=0), atol=1e-5)
    scores = run.factors.scores_for(users)[0]
    unseen = [item for item in range(16) if f"i{item}" not in EVEN and item // 2 % 2]
    best = sorted(unseen, key=lambda item: -scores[item])
    answer = run.recommend_for([*EVEN, EVEN[0]], k=3, category="shoe")
    assert [each.item_id for each in answer] == [f"i{item}" for item in best[:3]]
    assert len(run.recommend_for(EVEN, k=99)) == 13
    assert len(run.recommend_for(EVEN, k=99, exclude_seen=False)) == 16


@pytest.mark.parametrize("name", ["bpr-mf", "free", "vbpr"])
def test_a_fitted_user_ranks_what_she_likes_above_the_rest(run_of: RunOf, name: str) -> None:
    run = run_of(name)
    scores = run.factors.scores_for(run.fold_in([EVEN, ODD]))
    for row, liked in zip(scores, (EVEN, ODD), strict=True):
        own = run.items.indices(liked)
        mean = run.factors.scores_for(run.fold_in([[]]))[0]
        assert row[own].mean() - np.delete(row, own).mean() > mean[own].mean() - np.delete(mean, own).mean()


def test_unknown_items_and_wrong_numbers(tiny_run: Run) -> None:
    with pytest.raises(UnknownIdError, match="`item` must be one of the 16 known ids"):
        tiny_run.fold_in([["i1"], ["jacket"]])
    with pytest.raises(UnknownIdError, match="'jacket'"):
        tiny_run.recommend_for(["jacket"])
    with pytest.raises(ValueError, match="`k` must be at least 1"):
        tiny_run.recommend_for(["i1"], k=0)
