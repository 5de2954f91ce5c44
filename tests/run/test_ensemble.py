"""An ensemble of two tiny runs of other seeds and sizes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_data import Command, RunOf, checkerboard

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.evaluation.designs.baselines import check_second_run
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import GanRun, Run
from tfdvbpr.training.recommender.train import train_recommender


@pytest.fixture(scope="module")
def other(checkerboard_dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = recommender_config("dvbpr", epochs=1, embedding_dim=3, global_batch_size=16, seed=1)
    return train_recommender(checkerboard_dataset, config, tmp_path_factory.mktemp("runs") / "other")


@pytest.fixture(scope="module")
def both(tiny_run: Run, other: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of copies, which are gone afterwards: an ensemble stands alone."""
    folder = tmp_path_factory.mktemp("ensemble")
    copies = [shutil.copytree(run.path, folder / f"copy-{number}") for number, run in enumerate((tiny_run, other))]
    made = api.ensemble(copies, folder / "both")
    for copy in copies:
        shutil.rmtree(copy)
    return made


def test_its_scores_are_the_mean_of_its_members(both: Run, tiny_run: Run, other: Run) -> None:
    users, items = both.user_ids, both.items.item_ids
    expected = (tiny_run.score(users, items) + other.score(users, items)) / 2.0
    np.testing.assert_allclose(both.score(users, items), expected, rtol=1e-5, atol=1e-6)
    assert [run.config.seed for run in both.members] == [0, 1]
    assert both.visual_item_embeddings.shape == (16, 7)


def test_images_have_the_embeddings_of_their_items(both: Run, checkerboard_dataset: PreparedDataset) -> None:
    images = to_float(checkerboard_dataset.images.read(np.arange(16)))
    np.testing.assert_allclose(both.recommender.embed_images(images), both.visual_item_embeddings, atol=1e-4)


def test_a_new_user_is_folded_into_each_member(both: Run, tiny_run: Run, other: Run) -> None:
    liked = [["i1", "i4"], ["i2"]]
    expected = np.concatenate([tiny_run.fold_in(liked), other.fold_in(liked)], axis=1) / 2.0
    np.testing.assert_allclose(both.fold_in(liked), expected, atol=1e-6)


def test_designs_are_preferred_by_the_mean(both: Run, tiny_gan_run: GanRun) -> None:
    options = DesignOptions(num_candidates=4, num_starts=2, num_steps=4, learning_rate=0.1, realism_weight=0.0)
    designs = Designer(both, tiny_gan_run, options=options).design(["u1"], ["shoe"], seeds=[3])
    assert (designs.preferences > designs.initial_preferences).all()
    images = to_float(designs.images[0])
    means = [np.asarray(run.recommender.embed_images(images)) @ run.visual_user_embeddings[1] for run in both.members]
    np.testing.assert_allclose(designs.preferences[0], np.mean(means, axis=0), atol=0.02)


def test_what_cannot_be_combined(
    tiny_run: Run, other: Run, both: Run, run_of: RunOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(error: type[Exception], message: str, *runs: Run) -> None:
        with pytest.raises(error, match=message):
            api.ensemble(runs, tmp_path / "out")

    refused(ConfigError, "must have 2 to 16 members. Received 1", tiny_run)
    refused(ConfigError, "must be different runs", tiny_run, other, tiny_run)
    refused(RunError, "must not be an ensemble.*has 2 members. Name its members", tiny_run, both)
    refused(RunError, "must be a dvbpr run.*is a hybrid-dvbpr run", tiny_run, run_of("hybrid-dvbpr"))
    refused(RunError, "must be a dvbpr run.*is a bpr-mf run", tiny_run, run_of("bpr-mf"))
    refused(RunError, "is a dvbpr run with free ones", tiny_run, run_of("free"))
    elsewhere = Run.open(shutil.copytree(other.path, tmp_path / "elsewhere"))
    monkeypatch.setattr(elsewhere, "manifest", other.manifest.model_copy(update={"dataset_fingerprint": "0" * 16}))
    refused(RunError, "must be of one dataset", tiny_run, elsewhere)
    damaged = Run.open(shutil.copytree(other.path, tmp_path / "damaged"))
    weights = damaged.path / "model.weights.h5"
    weights.write_bytes(weights.read_bytes()[:100])
    refused(RunError, r"model\.weights\.h5 must be whole", tiny_run, damaged)
    weights.unlink()
    refused(RunError, "must hold trained weights", tiny_run, damaged)
    assert not (tmp_path / "out").exists()


def test_a_member_is_no_second_recommender(both: Run, other: Run, tiny_run: Run) -> None:
    check_second_run(tiny_run, other)
    for member in (other, tiny_run):
        with pytest.raises(RunError, match=r"must not be ascended.*is a member of the ensemble"):
            check_second_run(both, member)


def test_what_its_members_have_to_do(both: Run, tmp_path: Path) -> None:
    actions = tmp_path / "actions.csv"
    actions.write_text("user_id,item_id\nnew,i1\n")
    with pytest.raises(RunError, match="Add the users to each member"):
        api.update_users(both, actions, tmp_path / "out")
    with pytest.raises(RunError, match="Add the items to each member"):
        api.update_items(both, tmp_path, tmp_path / "out")
    dataset = checkerboard(tmp_path / "data")
    with pytest.raises(RunError, match="Train each member again"):
        api.train(dataset, start_from=both, output=tmp_path / "out")


def test_the_command(command: Command, tiny_run: Run, other: Run, tmp_path: Path) -> None:
    code, printed, _ = command("ensemble", tiny_run.path, other.path, "--output", tmp_path / "both")
    assert code == 0
    assert "An ensemble of 2 runs" in printed
    assert len(Run.open(tmp_path / "both").members) == 2
    assert command("evaluate", tmp_path / "both")[0] == 0
    code, _, complaint = command("ensemble", tiny_run.path, "--output", tmp_path / "one")
    assert (code, "must have 2 to 16 members" in complaint) == (2, True)
