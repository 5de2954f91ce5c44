from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from tfdvbpr.arrays import read_npz
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders import RECOMMENDERS, recommender_config, visual_ease
from tfdvbpr.models.recommenders.closed_form import centred
from tfdvbpr.models.recommenders.item_weights import ItemWeights
from tfdvbpr.models.recommenders.visual_ease import ridge

NUM_USERS, NUM_ITEMS, NUM_TRAINED = 50, 30, 24


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    """Users who like items of their own parity; the last six items have no action."""
    generator = np.random.default_rng(0)
    agrees = np.arange(NUM_USERS)[:, None] % 2 == np.arange(NUM_ITEMS) % 2
    acted = generator.random((NUM_USERS, NUM_ITEMS)) < np.where(agrees, 0.5, 0.05)
    acted[:, NUM_TRAINED:] = False
    users, items = np.nonzero(acted)
    splits = np.full(len(users), Split.TRAIN, np.uint8)
    return Interactions(users.astype(np.int32), items.astype(np.int32), splits, NUM_USERS, NUM_ITEMS)


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    """Noise, and a number that says the parity."""
    noise = np.random.default_rng(1).standard_normal((NUM_ITEMS, 5))
    noise[:, 0] = 3.0 * (np.arange(NUM_ITEMS) % 2)
    return noise.astype(np.float32)


def _trained(interactions: Interactions, features: np.ndarray | None, **values: float) -> ItemWeights:
    values = {"weight_l2": 2.0, **values}
    factors = RECOMMENDERS["visual-ease"].closed_form(
        recommender_config("visual-ease", **values), interactions, features
    )
    assert isinstance(factors, ItemWeights)
    return factors


def test_items_with_actions_keep_the_weights_of_ease(interactions: Interactions, features: np.ndarray) -> None:
    values = {"weight_l2": 2.0, "weight_dropout": 0.5, "user_balance": 0.25}
    ease = RECOMMENDERS["ease"].closed_form(recommender_config("ease", **values), interactions, None)
    assert isinstance(ease, ItemWeights)
    found = _trained(interactions, features).weights.toarray()
    np.testing.assert_array_equal(found[:, :NUM_TRAINED], ease.weights.toarray()[:, :NUM_TRAINED])


def test_new_items_have_the_weights_of_items_that_look_like_them(
    interactions: Interactions, features: np.ndarray
) -> None:
    """A user of even items ranks the even new items above the odd ones, and the other way round."""
    scores = _trained(interactions, features).scores(np.arange(NUM_USERS))[:, NUM_TRAINED:]
    margins = scores[:, 0::2].mean(axis=1) - scores[:, 1::2].mean(axis=1)
    assert (np.where(np.arange(NUM_USERS) % 2 == 0, margins, -margins) > 0).mean() > 0.9
    np.testing.assert_array_equal(_trained(interactions, features).weights.toarray()[NUM_TRAINED:], 0)


def test_the_map_is_ridge_regression_of_the_weights_on_features(
    interactions: Interactions, features: np.ndarray
) -> None:
    factors = _trained(interactions, features)
    design = np.c_[centred(features, features.mean(axis=0)), np.ones(NUM_ITEMS)].astype(np.float64)
    trained, targets = design[:NUM_TRAINED], factors.weights.toarray().T[:NUM_TRAINED]
    expected = np.linalg.solve(trained.T @ trained + 10.0 * np.eye(6), trained.T @ targets)
    np.testing.assert_allclose(factors.feature_weights, expected.T, atol=1e-6)
    np.testing.assert_allclose(factors.weights.toarray().T[NUM_TRAINED:], design[NUM_TRAINED:] @ expected, atol=1e-6)


def test_ridge_has_one_solution_in_items_and_in_features() -> None:
    generator = np.random.default_rng(0)
    design, targets = generator.standard_normal((6, 4)), sparse.csr_array(generator.standard_normal((6, 3)))
    wide = np.c_[design, np.zeros((6, 5))]  # the columns of zeros take nothing
    np.testing.assert_allclose(ridge(wide, targets, l2=0.3)[:, :4], ridge(design, targets, l2=0.3), atol=1e-6)


def test_neighbours_are_kept_of_every_item(
    interactions: Interactions, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _trained(interactions, features, num_neighbours=4).weights
    assert np.diff(sparse.csr_array(found.T).indptr).tolist() == [4] * NUM_ITEMS
    monkeypatch.setattr(visual_ease, "MOST_ITEMS", 25)
    with pytest.raises(ConfigError, match=r"at most 625\. Received 30 × 24\. Set num_neighbours=200\."):
        _trained(interactions, features)
    assert _trained(interactions, features, num_neighbours=4).weights.nnz == found.nnz


def test_it_round_trips_with_new_items(interactions: Interactions, features: np.ndarray, tmp_path: Path) -> None:
    factors, kind = _trained(interactions, features), RECOMMENDERS["visual-ease"]
    new = centred(features[[25]], factors.feature_mean)
    factors.extended(*kind.embed_new_features(new, factors)).write(tmp_path / "factors.npz")
    larger, users = ItemWeights.read(tmp_path / "factors.npz"), np.arange(NUM_USERS)
    np.testing.assert_array_equal(larger.scores(users)[:, :NUM_ITEMS], factors.scores(users))
    np.testing.assert_allclose(larger.scores(users)[:, NUM_ITEMS], factors.scores(users)[:, 25], atol=1e-6)
    again = kind.embed_new_features(new, larger)[0]
    np.testing.assert_allclose(again[0, :NUM_ITEMS], factors.weights.toarray()[:, 25], atol=1e-6)
    arrays = read_npz(tmp_path / "factors.npz")
    for damaged in (
        {"feature_mean": arrays["feature_mean"][:-1]},
        {"feature_weights": arrays["feature_weights"].astype(np.float64)},
    ):
        np.savez(tmp_path / "factors.npz", **(arrays | damaged))
        with pytest.raises(ValueError, match="must"):
            ItemWeights.read(tmp_path / "factors.npz")
