from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from scipy import sparse

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders import RECOMMENDERS, recommender_config
from tfdvbpr.models.recommenders.closed_form import mean_cosines
from tfdvbpr.models.recommenders.factors import Factors

WITH_WEIGHTS = [name for name, kind in RECOMMENDERS.items() if kind.has_weights]
# Items 0, 1 and 2 have two, no and one training action; the last action is held out.
COUNTED = Interactions(
    np.array([0, 1, 1, 0], np.int32),
    np.array([0, 0, 2, 1], np.int32),
    np.array([Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.TEST], np.uint8),
    2,
    3,
)
SIZES = SimpleNamespace(num_users=3, num_items=4, image_size=(32, 32))
INPUTS = {
    "user_ids": np.array([0, 2, 1], np.int32),
    "item_ids": np.array([3, 0, 1], np.int32),
    "images": np.random.default_rng(0).uniform(-1, 1, (3, 32, 32, 3)).astype(np.float32),
}


def _build(name: str, *, seed: int = 0) -> Any:
    keras.utils.set_random_seed(seed)
    config = recommender_config(name, embedding_dim=6, dropout=0.1, seed=seed, factor_dim=2)
    model = RECOMMENDERS[name].for_dataset(config, SIZES)
    generator = np.random.default_rng(seed + 1)
    if model.uses_features:
        model.set_features(generator.standard_normal((4, model.feature_dim)).astype(np.float32))
    for table in model.tables:  # some begin at 0, where nothing could be told apart
        table.assign(generator.standard_normal(table.shape).astype(np.float32))
    return model


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_score_is_the_dot_product_and_bias(name: str) -> None:
    model = _build(name)
    scores = model(INPUTS).numpy()
    users = model.embed_users(INPUTS["user_ids"]).numpy()
    items, biases = model.embed_items(INPUTS["item_ids"], INPUTS["images"], training=False)
    assert users.shape == items.shape == (3, 8 if name in ("hybrid-dvbpr", "vbpr") else 6)
    assert biases.shape == (3,)
    np.testing.assert_allclose(scores, (users * items.numpy()).sum(axis=1) + biases.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_weights_save_and_load(name: str, tmp_path: Path) -> None:
    model, other = _build(name), _build(name, seed=4)
    expected = model(INPUTS).numpy()
    assert np.abs(other(INPUTS).numpy() - expected).max() > 1e-3
    model.save_weights(tmp_path / "x.weights.h5")
    other.load_weights(tmp_path / "x.weights.h5")
    np.testing.assert_allclose(other(INPUTS).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_seeded(name: str) -> None:
    first, again = _build(name).get_weights(), _build(name).get_weights()
    for weight, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(weight, same)


def test_dvbpr_has_no_item_bias_and_sees_only_the_picture() -> None:
    model = _build("dvbpr")
    items, biases = model.embed_items(INPUTS["item_ids"], INPUTS["images"], training=False)
    others, _ = model.embed_items(INPUTS["item_ids"][::-1], INPUTS["images"], training=False)
    np.testing.assert_array_equal(items, others)
    assert not biases.numpy().any()


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match=r"`model` must be one of dvbpr, .*Received 'dvbr'"):
        recommender_config("dvbr")
    with pytest.raises(ConfigError, match="`backbone` must be one of small_cnn"):
        RECOMMENDERS["dvbpr"].for_dataset(RecommenderConfig(backbone="resnet"), SIZES)
    with pytest.raises(TypeError, match="Popularity has no weights"):
        RECOMMENDERS["popularity"].for_dataset(RecommenderConfig(), SIZES)
    with pytest.raises(TypeError, match="BPRMF has no closed form"):
        RECOMMENDERS["bpr-mf"].closed_form(RecommenderConfig(), COUNTED, None)


def test_popularity_scores_are_training_counts() -> None:
    factors = RECOMMENDERS["popularity"].closed_form(RecommenderConfig(), COUNTED, None)
    np.testing.assert_array_equal(factors.scores(np.array([0, 1])), [[2, 0, 1], [2, 0, 1]])


def test_visrank_by_hand() -> None:
    """Centred features (±1, 0) and (0, ±1): cosines are 1, 0 or -1."""
    features = np.array([[2, 1], [0, 1], [1, 2], [1, 0]], np.float32)
    acted = sparse.csr_matrix(np.array([[1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]], bool))
    expected = [[1, -1, 0, 0], [0.5, -0.5, 0.5, -0.5], [0, 0, 0, 0]]
    np.testing.assert_allclose(mean_cosines(features, acted).scores(np.arange(3)), expected, atol=1e-6)


def test_factors_round_trip_and_are_checked(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    shapes = ((3, 2), (5, 2), (5,))
    factors = Factors(*(generator.standard_normal(shape).astype(np.float32) for shape in shapes))
    factors.write(tmp_path / "factors.npz")
    read = Factors.read(tmp_path / "factors.npz")
    users = np.array([2, 0])
    np.testing.assert_array_equal(read.scores(users), factors.scores(users))
    with pytest.raises(ValueError, match="must agree"):
        Factors(factors.user_embeddings[:, :1], factors.item_embeddings, factors.item_biases)
