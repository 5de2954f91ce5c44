"""Users added to a run: the old ones stay as they are, the new ones are folded in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny_data import Command, RunOf

from tfdvbpr import api
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import SourceError
from tfdvbpr.run import Run

NAMES = ["dvbpr", "hybrid-dvbpr", "vbpr", "bpr-mf", "visrank", "popularity", "ease", "ials"]


@pytest.fixture
def actions(tmp_path: Path) -> Path:
    """Two new users, one of them partly on unknown items, and a known one."""
    path = tmp_path / "today.csv"
    path.write_text("user_id,item_id\nnew,i3\nnew,i5\nu1,i2\nother,i2\nother,nothing\nnew,i3\nghost,nothing\n")
    return path


@pytest.mark.parametrize("name", NAMES)
def test_new_users_are_folded_in_and_old_ones_stay(run_of: RunOf, actions: Path, tmp_path: Path, name: str) -> None:
    old = run_of(name)
    run = api.update_users(old, actions, tmp_path / "run")
    assert run.user_ids == [*old.user_ids, "new", "other"]
    np.testing.assert_array_equal(run.factors.user_embeddings[:8], old.factors.user_embeddings)
    np.testing.assert_allclose(run.factors.user_embeddings[8:], old.fold_in([["i3", "i5"], ["i2"]]), atol=1e-3)
    liked = old.recommend_for(["i3", "i5"], k=4)
    again = run.recommend("new", k=4)
    assert [each.score for each in again] == pytest.approx([each.score for each in liked], abs=1e-3)
    assert not {"i3", "i5"} & {each.item_id for each in again}
    np.testing.assert_array_equal(run.interactions.training_counts, old.interactions.training_counts)
    np.testing.assert_allclose(run.fold_in([["i2", "i9"]]), old.fold_in([["i2", "i9"]]), atol=1e-5)
    if name in ("hybrid-dvbpr", "bpr-mf"):
        users = run.recommender.embed_users(np.arange(10)).numpy()
        np.testing.assert_allclose(users, run.factors.user_embeddings, atol=1e-6)
    dataset = PreparedDataset.open(run.path / "dataset", verify=True)
    assert run.open_dataset().manifest == dataset.manifest
    assert dataset.user_ids == run.user_ids


def test_the_command_counts_what_it_leaves_out(command: Command, tiny_run: Run, actions: Path, tmp_path: Path) -> None:
    code, shown, _ = command("update-users", tiny_run.path, actions, "--output", tmp_path / "run")
    assert code == 0
    assert "Added 2 users, 10 in all" in shown
    assert "Left out 3 actions" in shown
    listed = pl.read_csv(tmp_path / "run" / "left_out.csv")
    assert sorted(listed["reason"]) == ["unknown item id", "unknown item id", "user id already in the run"]
    assert api.evaluate(tmp_path / "run")["num_users"] == api.evaluate(tiny_run)["num_users"]


def test_no_new_user(tiny_run: Run, tmp_path: Path) -> None:
    (tmp_path / "today.csv").write_text("user_id,item_id\nu1,i2\n")
    with pytest.raises(SourceError, match="at least one action of a new user"):
        api.update_users(tiny_run, tmp_path / "today.csv", tmp_path / "run")
    (tmp_path / "other.csv").write_text("user_id,item\nu1,i2\n")
    with pytest.raises(SourceError, match="It lacks item_id"):
        api.update_users(tiny_run, tmp_path / "other.csv", tmp_path / "run")
    assert not (tmp_path / "run").exists()
