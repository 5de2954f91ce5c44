"""What every entry of RECOMMENDERS must do, on the checkerboard: users like items of their own parity, which is the
image's colour; the diagonals are held out."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from shared_folders import own_run
from tiny_data import RunOf, encoded, write_source

from tfdvbpr.config import describe_yaml
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.data.interactions import Split
from tfdvbpr.errors import RunError
from tfdvbpr.evaluation.ranking.evaluate import mean_metrics
from tfdvbpr.models.recommenders import RECOMMENDERS, recommender_config
from tfdvbpr.run import Run
from tfdvbpr.run.new_items import update_items
from tfdvbpr.training.recommender.train import train_recommender
from tfdvbpr_export.options import RecommenderOptions
from tfdvbpr_export.recommender.heads import ServedRecommender

EPOCHS = {"dvbpr": 10, "hybrid-dvbpr": 10, "siamese": 4}
EVEN, ODD = ["i0", "i2", "i4"], ["i1", "i3", "i5"]

every_recommender = pytest.mark.parametrize("name", RECOMMENDERS)


@pytest.fixture(scope="module")
def learned(checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> RunOf:
    """A run of each recommender by name, trained until it has learned the checkerboard."""
    runs: dict[str, Run] = {}

    def run(name: str) -> Run:
        if name not in runs:
            config = recommender_config(
                name,
                embedding_dim=4,
                factor_dim=3,
                global_batch_size=16,
                epochs=EPOCHS.get(name, 25),
                backbone_l2=0.0,
            )
            train = partial(train_recommender, checkerboard_dataset, config)
            runs[name] = Run.open(own_run(tmp_path_factory, f"learned-{name}", checkerboard_dataset, train))
        return runs[name]

    return run


@pytest.fixture(scope="module")
def new_item(tmp_path_factory: pytest.TempPathFactory, checkerboard_dataset: PreparedDataset) -> Path:
    """One new item, with the image of i5."""
    image = encoded(checkerboard_dataset.images.read(np.array([5]))[0], "PNG")
    folder = write_source(tmp_path_factory.mktemp("new") / "items", [("copy", "shoe", image)], [])
    (folder / "interactions.csv").unlink()
    return folder


def _is_personal(name: str) -> bool:
    return name != "popularity"  # every user gets the same items


@every_recommender
def test_its_defaults_and_presets_are_configurations(name: str) -> None:
    kind = RECOMMENDERS[name]
    for preset in (None, *kind.presets):
        config = recommender_config(name, preset=preset)
        kind.check_config(config)
        assert f"model: {name}\n" in describe_yaml(config)


@every_recommender
def test_it_learns(learned: RunOf, name: str) -> None:
    run = learned(name)
    auc = mean_metrics(run.factors, run.interactions, Split.TEST)["auc"]
    assert auc > 0.95 if _is_personal(name) else auc <= 0.5


@every_recommender
def test_scores_are_finite_and_of_the_catalogue(learned: RunOf, name: str) -> None:
    run = learned(name)
    scores = run.factors.scores(np.arange(8))
    assert scores.shape == (8, 16)
    assert np.isfinite(scores).all()


@every_recommender
def test_the_loaded_model_gives_the_scores_of_the_factors(learned: RunOf, name: str, tmp_path: Path) -> None:
    run = Run.open(learned(name).path)
    kind = run.model_class
    if not kind.has_weights:
        with pytest.raises(RunError, match="must hold trained weights"):
            run.recommender  # noqa: B018
        return
    model, users, items = run.recommender, np.array([0, 3, 7], np.int32), np.array([5, 2, 15], np.int32)
    images = to_float(run.open_dataset().images.read(items))
    if not model.uses_anchors:
        scores = model({"user_ids": users, "item_ids": items, "images": images}).numpy()
        np.testing.assert_allclose(scores, run.factors.scores(users)[np.arange(3), items], atol=1e-3)
    other = kind.for_dataset(recommender_config(name, embedding_dim=4, factor_dim=3, seed=5), run.manifest)
    model.save_weights(tmp_path / "x.weights.h5")
    other.load_weights(tmp_path / "x.weights.h5")
    for variable, loaded in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(variable.numpy(), loaded.numpy())


@every_recommender
def test_new_users_are_folded_in(learned: RunOf, name: str) -> None:
    run = learned(name)
    users = run.fold_in([EVEN, ODD, []])
    assert users.dtype == np.float32
    assert users.shape == (3, run.factors.user_embeddings.shape[1])
    np.testing.assert_allclose(users[2], run.factors.user_embeddings.mean(axis=0), atol=1e-5)
    scores = run.factors.scores_for(users)
    assert np.isfinite(scores).all()
    if _is_personal(name):
        margins = scores[:, 0::2].mean(axis=1) - scores[:, 1::2].mean(axis=1)
        assert margins[0] > margins[1]


@every_recommender
def test_new_items_have_embeddings_where_it_says_so(learned: RunOf, new_item: Path, name: str, tmp_path: Path) -> None:
    run = learned(name)
    if not run.model_class.embeds_new_items:
        with pytest.raises(RunError, match="must be of a model that"):
            update_items(run, new_item, tmp_path / "larger")
        return
    larger = update_items(run, new_item, tmp_path / "larger")
    assert larger.items.item_ids[16:] == ["copy"]
    np.testing.assert_array_equal(larger.factors.scores(np.arange(8))[:, :16], run.factors.scores(np.arange(8)))
    new = larger.factors.scores(np.arange(8))[:, 16]
    assert np.isfinite(new).all()
    assert new[1::2].min() > new[0::2].max()  # odd users like its colour


@every_recommender
def test_it_is_served(learned: RunOf, name: str) -> None:
    run = learned(name)
    served = ServedRecommender(run, RecommenderOptions())
    answer = served.score(user_ids=tf.constant(["u1", "nobody"]), item_ids=tf.constant([["i0", "i5"], ["i3", "i15"]]))
    np.testing.assert_allclose(answer["scores"][0], run.score(["u1"], ["i0", "i5"])[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(answer["known_users"], [True, False])
