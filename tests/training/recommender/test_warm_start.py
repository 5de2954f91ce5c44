"""Retraining: what a training takes over from a run on an earlier dataset."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from tiny_data import BLUE, RED, Command, RunOf, encoded, noisy_picture, write_source

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.preparation.prepare import PrepareOptions, prepare
from tfdvbpr.errors import ConfigError
from tfdvbpr.run import Run
from tfdvbpr.training.recommender.data import TrainingData
from tfdvbpr.training.recommender.warm_start import IdMap, carry_over, effective_config, retraining_config

NAMES = ["dvbpr", "hybrid-dvbpr", "vbpr", "fm", "bpr-mf", "siamese"]


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """The checkerboard some time later: without u0 and i0, in another order, with a new user and a new item."""
    folder = tmp_path_factory.mktemp("later")
    names = ["new", *(f"i{item}" for item in range(15, 0, -1))]
    items = [
        (name, "shirt", encoded(noisy_picture(BLUE if name == "new" or int(name[1:]) % 2 else RED, (32, 32), row)))
        for row, name in enumerate(names)
    ]
    actions = [("newcomer", name, "train") for name in ("i3", "i5", "new")]
    actions += [
        (f"u{user}", f"i{item}", "validation" if item == user + 8 else "train")
        for user in range(7, 0, -1)
        for item in range(user % 2, 16, 2)
        if item and item != user
    ]
    write_source(folder / "source", items, actions)
    options = PrepareOptions(image_size=(32, 32))
    return prepare(read_folder(folder / "source"), folder / "dataset", options=options, source_format="folder")


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_carried_over_by_id(run_of: RunOf, later: PreparedDataset, name: str) -> None:
    run = run_of(name)
    data = TrainingData.from_dataset(later, run.config)
    model = run.model_class.for_dataset(run.config, data.sizes)
    if data.features is not None:
        model.set_features(data.features)
    names = {"user_ids": later.user_ids, "item_ids": later.items.item_ids}
    users, items = carry_over(run, model, data, **names)
    assert (len(users.new), len(users.added), users.num_gone) == (7, 1, 1)
    assert (len(items.new), len(items.added), items.num_gone) == (15, 1, 1)
    old = run.recommender
    for before, after in zip(
        [old.user_embeddings, *old.user_tables], [model.user_embeddings, *model.user_tables], strict=True
    ):
        np.testing.assert_array_equal(
            after.numpy()[later.user_indices(["u5"])], before.numpy()[run.user_indices(["u5"])]
        )
    for before, after in zip(old.item_tables, model.item_tables, strict=True):
        np.testing.assert_array_equal(
            after.numpy()[later.items.indices(["i4"])], before.numpy()[run.items.indices(["i4"])]
        )
    if not run.model_class.uses_images:  # the score of a known pair is what it was
        pair = {"user_ids": later.user_indices(["u5"]), "item_ids": later.items.indices(["i4"]), "images": None}
        if not run.model_class.uses_features:  # whose images differ in their noise
            assert float(model(pair)[0]) == pytest.approx(float(run.score(["u5"], ["i4"])[0, 0]), abs=1e-5)
    else:
        images = np.zeros((1, 32, 32, 3), np.float32)
        np.testing.assert_allclose(model.embed_images(images), old.embed_images(images), atol=1e-6)
    folded = run.fold_in([["i3", "i5"]])[0]
    newcomer = later.user_indices(["newcomer"])
    if run.config.user_embeddings == "free":
        np.testing.assert_allclose(model.embed_users(newcomer)[0], folded, atol=1e-3)


def test_biases_follow_popularity(run_of: RunOf, later: PreparedDataset) -> None:
    run = run_of("bpr-mf")
    data = TrainingData.from_dataset(later, run.config)
    model = run.model_class.for_dataset(run.config, data.sizes)
    carry_over(run, model, data, user_ids=later.user_ids, item_ids=later.items.item_ids)
    counts, biases = data.interactions.training_counts, model.item_biases.numpy()
    known = later.items.indices([f"i{item}" for item in range(1, 16)])
    slope, height = np.polyfit(np.log1p(counts[known]), biases[known], 1)
    new = later.items.indices(["new"])
    assert biases[new] == pytest.approx(height + slope * np.log1p(counts[new]), abs=1e-5)


def test_a_retraining_from_the_command_line(
    command: Command, tiny_run: Run, later: PreparedDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    code, _, complaint = command("train", later.path, "--from", tiny_run.path, "--output", tmp_path / "again")
    assert code == 0, complaint
    run = Run.open(tmp_path / "again")
    assert run.config == tiny_run.config.model_copy(update={"start_from": str(tiny_run.path.resolve())})
    assert run.manifest.num_users == 8
    assert "users: 7 carried over, 1 new, 1 gone; items: 15 carried over, 1 new, 1 gone" in complaint
    assert "Retraining: 1 of 2 epochs" in complaint
    # A later retraining is shortened from the whole number of epochs again.
    assert retraining_config(run).epochs == 2
    code, _, complaint = command(
        "train", later.path, "--from", tiny_run.path, "--output", tmp_path / "b", "--set", "embedding_dim=5"
    )
    assert code == 2
    assert "Weights can be carried over to the same architecture alone" in complaint


def test_the_rule(run_of: RunOf) -> None:
    config = run_of("bpr-mf").config.model_copy(update={"epochs": 100, "evaluate_every": 20})
    assert effective_config(config) == config
    short = effective_config(config.model_copy(update={"start_from": "run", "epochs": 101}))
    assert (short.epochs, short.evaluate_every) == (7, 7)
    assert short.learning_rate == config.learning_rate / 2
    assert short.user_learning_rate == config.user_learning_rate / 2


def test_what_cannot_be_carried_over(run_of: RunOf, later: PreparedDataset, tmp_path: Path) -> None:
    for name in ("popularity", "ease"):
        with pytest.raises(ConfigError, match=f"is a {name} run, which is computed anew in any case"):
            api.train(later, tmp_path / "run", start_from=run_of(name))
    with pytest.raises(ConfigError, match=r"must be that of the run to start from, dvbpr\. Received bpr-mf"):
        retraining_config(run_of("dvbpr"), overrides=["model=bpr-mf"])


def test_a_map_of_nothing() -> None:
    match = IdMap.of([], ["a"])
    assert (len(match.new), match.added.tolist(), match.num_gone) == (0, [0], 0)
