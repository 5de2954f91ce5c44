"""Items added to a run: the old ones stay as they are, the new ones are ranked at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny_data import BLUE, RED, Command, RunOf, encoded, noisy_picture, write_source

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import OutputExistsError, RunError, SourceError
from tfdvbpr.run import Run
from tfdvbpr.run.new_items import update_items

VISUAL = ["dvbpr", "hybrid-dvbpr", "vbpr", "fm", "visrank", "siamese"]


@pytest.fixture(scope="module")
def new_items(tmp_path_factory: pytest.TempPathFactory, checkerboard_dataset: PreparedDataset) -> Path:
    """A copy of i5's image in a new category, a red and a blue one, and three that cannot be used."""
    copy = checkerboard_dataset.images.jpeg(5)
    folder = write_source(
        tmp_path_factory.mktemp("new") / "spring",
        [
            ("copy", "hat", copy),
            ("red", "shoe", encoded(noisy_picture(RED, (32, 32), 100))),
            ("broken", "shoe", copy[:200]),
            ("i3", "shoe", copy),
            ("blue", "apron", encoded(noisy_picture(BLUE, (50, 30), 101))),
            ("red", "shoe", copy),
        ],
        [],
    )
    (folder / "interactions.csv").unlink()
    return folder


@pytest.fixture(scope="module")
def updated(run_of: RunOf, new_items: Path, tmp_path_factory: pytest.TempPathFactory) -> RunOf:
    folder, runs = tmp_path_factory.mktemp("updated"), {}

    def run(name: str) -> Run:
        if name not in runs:
            runs[name] = update_items(run_of(name), new_items, folder / name)
        return runs[name]

    return run


@pytest.mark.parametrize("name", VISUAL)
def test_old_items_keep_their_scores_to_the_bit(run_of: RunOf, updated: RunOf, name: str) -> None:
    old, new = run_of(name), updated(name)
    assert new.manifest.num_items == 19
    assert new.items.item_ids == [*old.items.item_ids, "copy", "red", "blue"]
    np.testing.assert_array_equal(new.factors.user_embeddings, old.factors.user_embeddings)
    np.testing.assert_array_equal(new.factors.item_embeddings[:16], old.factors.item_embeddings)
    np.testing.assert_array_equal(new.factors.item_biases[:16], old.factors.item_biases)
    np.testing.assert_array_equal(
        new.score(old.user_ids, old.items.item_ids), old.score(old.user_ids, old.items.item_ids)
    )


@pytest.mark.parametrize("name", VISUAL)
def test_a_copy_of_an_image_has_the_embedding_of_the_original(updated: RunOf, name: str) -> None:
    """And its score, where nothing but the visual embedding counts."""
    run = updated(name)
    five, copy = run.factors.item_embeddings[[5, 16]]
    if name in ("dvbpr", "visrank", "siamese"):
        scores = run.score(run.user_ids, ["i5", "copy"])
        np.testing.assert_allclose(scores[:, 1], scores[:, 0], atol=1e-4)
    elif name == "fm":
        model = run.recommender
        np.testing.assert_allclose(copy, five - model.item_embeddings.numpy()[5], atol=1e-4)
        assert not model.item_embeddings.numpy()[16:].any()
    else:
        np.testing.assert_allclose(copy[:4], five[:4], atol=1e-4)
        assert np.abs(five[4:]).max() > 0
        assert not copy[4:].any()


@pytest.mark.parametrize("name", VISUAL)
def test_new_items_are_recommended_and_fold_in_stays(run_of: RunOf, updated: RunOf, name: str) -> None:
    run = updated(name)
    answer = run.recommend("u1", category="hat")
    assert [each.item_id for each in answer] == ["copy"]
    assert answer[0].category == "hat"
    np.testing.assert_array_equal(run.fold_in([["i2", "i9"]]), run_of(name).fold_in([["i2", "i9"]]))
    assert run.metrics == {}


@pytest.mark.parametrize("name", ["hybrid-dvbpr", "fm", "siamese"])
def test_the_weights_give_the_factors(updated: RunOf, name: str) -> None:
    run = updated(name)
    images = run.open_dataset().images.read(np.arange(19)).astype(np.float32) / 127.5 - 1.0
    if name == "siamese":
        raw = run.recommender.embed_images(images).numpy() - run.factors.feature_mean
        items = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    else:
        items = run.recommender.embed_items(np.arange(19), images, training=False)[0].numpy()
    np.testing.assert_allclose(items, run.factors.item_embeddings, atol=1e-3)


def test_the_larger_dataset(checkerboard_dataset: PreparedDataset, updated: RunOf) -> None:
    run = updated("dvbpr")
    dataset = PreparedDataset.open(run.path / "dataset", verify=True)
    assert run.open_dataset().manifest == dataset.manifest
    assert dataset.manifest.categories == run.manifest.categories == ("shirt", "shoe", "apron", "hat")
    assert run.items.category_ids.tolist()[14:] == [1, 1, 3, 1, 2]
    old = checkerboard_dataset.images
    np.testing.assert_array_equal(dataset.images.read(np.arange(16)), old.read(np.arange(16)))
    np.testing.assert_array_equal(dataset.images.read(np.array([16])), old.read(np.array([5])))
    assert dataset.images.jpeg(16) == old.jpeg(5)
    assert dataset.manifest.quarantine == {
        "broken image": 1,
        "item id already in the catalogue": 1,
        "duplicate item id": 1,
    }
    listed = pl.read_csv(dataset.path / "quarantine.csv")
    assert set(listed["where"]) == {"items.csv", "images/2.jpg"}
    assert dict(zip(listed["value"], listed["reason"], strict=True))["i3"] == "item id already in the catalogue"


def test_other_names_of_columns(run_of: RunOf, command: Command, tmp_path: Path) -> None:
    items = write_source(tmp_path / "summer", [("new", "hat", encoded(noisy_picture(BLUE, (32, 32), 5)))], [])
    table = (items / "items.csv").read_text().replace("item_id,", "SKU,", 1)
    (items / "items.csv").write_text(table)
    arguments = ("update-items", run_of("visrank").path, items, "--output", tmp_path / "run")
    code, _, error = command(*arguments)
    assert (code, "item_id" in error) == (2, True)
    code, _, error = command(*arguments, "--columns", "item_id=sku")
    assert code == 0, error
    assert Run.open(tmp_path / "run").items.item_ids[-1] == "new"


def test_a_second_update(updated: RunOf, tmp_path: Path) -> None:
    """The features are still centred on the mean of the training catalogue."""
    items = write_source(tmp_path / "summer", [("second", "hat", encoded(noisy_picture(BLUE, (32, 32), 5)))], [])
    for name in ("visrank", "dvbpr"):
        again = update_items(updated(name), items, tmp_path / name)
        assert again.open_dataset().path == again.path / "dataset"
        # The fixture's image of i5, encoded anew: the same pixels.
        np.testing.assert_allclose(again.factors.item_embeddings[19], again.factors.item_embeddings[5], atol=1e-4)


def test_an_update_in_place(updated: RunOf, tmp_path: Path) -> None:
    run = Run.open(shutil.copytree(updated("visrank").path, tmp_path / "run"))
    items = write_source(tmp_path / "summer", [("second", "hat", encoded(noisy_picture(BLUE, (32, 32), 5)))], [])
    again = update_items(run, items, run.path, dataset=run.path / "dataset", if_exists="overwrite")
    assert again.path == run.path
    assert len(again.open_dataset().images) == again.manifest.num_items == 20
    assert api.evaluate(again)["num_users"] == 8


@pytest.mark.parametrize("name", ["popularity", "bpr-mf"])
def test_models_without_images(run_of: RunOf, new_items: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match=f"is a {name} run, which cannot embed new items"):
        update_items(run_of(name), new_items, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_new_and_a_taken_place(run_of: RunOf, new_items: Path, tmp_path: Path) -> None:
    useless = write_source(tmp_path / "useless", [("i0", "shoe", b"no picture"), ("x", "shoe", b"")], [])
    with pytest.raises(SourceError, match=r"at least one usable new item\. Left out: 1 item id already"):
        update_items(run_of("visrank"), useless, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(OutputExistsError):
        update_items(run_of("visrank"), new_items, run_of("visrank").path)
    with pytest.raises(SourceError, match=r"SOURCE must be a folder with items\.csv\. There is no folder"):
        update_items(run_of("visrank"), tmp_path / "nowhere", tmp_path / "run")
