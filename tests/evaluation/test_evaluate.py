from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.errors import ConfigError, DatasetError, RunError
from tfdvbpr.evaluation.ranking.evaluate import evaluate_run, validation_figures
from tfdvbpr.evaluation.ranking.looks import Looks
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.run import Run


def _copy(run: Run, folder: Path) -> Run:
    """The run, never evaluated, in a folder of its own."""
    copy = Path(shutil.copytree(run.path, folder / "copy"))
    (copy / "metrics.json").unlink(missing_ok=True)  # another test may have evaluated the shared run
    return Run.open(copy)


def test_metrics_are_written_into_the_run(tiny_run: Run, tmp_path: Path) -> None:
    run = _copy(tiny_run, tmp_path)
    assert run.metrics == {}
    figures = evaluate_run(run)
    assert run.metrics == figures == json.loads((run.path / "metrics.json").read_text())
    assert list(figures) == [
        "model",
        "dataset",
        "split",
        "num_users",
        "num_held_out",
        "num_cold",
        "auc",
        "auc_interval",
        "recall@10",
        "hit_rate@10",
        "ndcg@10",
        "map@10",
        "mrr",
        "novelty@10",
        "diversity@10",
        "coverage@10",
    ]
    assert (figures["model"], figures["split"], figures["num_users"]) == ("dvbpr", "test", 8)
    assert 0.0 <= figures["auc"]["all"] <= 1.0
    low, high = figures["auc_interval"]["all"]
    assert 0.0 <= low <= figures["auc"]["all"] <= high <= 1.0
    assert figures["num_cold"] == 8
    assert 0.0 < figures["diversity@10"] < 1.0
    without = evaluate_run(run, cold_threshold=0, lists=False)
    assert without["auc"]["cold"] is None
    assert list(without) == list(figures)[:-3]


def test_every_user_has_a_row(tiny_run: Run, tmp_path: Path) -> None:
    run = _copy(tiny_run, tmp_path)
    figures = evaluate_run(run, k=3)
    users = pl.read_parquet(run.path / "per_user-test.parquet")
    assert users["user_id"].to_list() == run.user_ids
    assert users["num_held_out"].to_list() == [1] * 8
    assert users["num_cold"].to_list() == [1] * 8
    assert users["auc_warm"].to_list() == [None] * 8
    for name in ("recall@3", "hit_rate@3", "ndcg@3", "map@3", "mrr", "novelty@3", "diversity@3"):
        assert users[name].mean() == pytest.approx(figures[name]), name
    assert users["auc"].mean() == pytest.approx(figures["auc"]["all"])
    assert {path.name for path in run.path.iterdir()} >= {"per_user-test.parquet", "metrics.json"}
    assert not [path for path in run.path.iterdir() if path.name.startswith(".")]


def test_no_dataset_no_diversity(
    tiny_run: Run, checkerboard_dataset: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _copy(tiny_run, tmp_path)
    moved = run.manifest.model_copy(update={"dataset_path": str(tmp_path / "gone")})
    monkeypatch.setattr(run, "manifest", moved)
    assert evaluate_run(run)["diversity@10"] is None
    assert evaluate_run(run, dataset=checkerboard_dataset.path)["diversity@10"] is not None
    with pytest.raises(DatasetError, match="tfdvbpr prepare"):
        evaluate_run(run, dataset=tmp_path)


def test_looks_are_read_once_and_in_the_order_asked_for(checkerboard_dataset: PreparedDataset) -> None:
    looks = Looks(checkerboard_dataset)
    everything = FEATURE_EXTRACTORS["colour-and-edges"](checkerboard_dataset.images.read(np.arange(16)))
    for items in ([3, 1], [1, 5, 3], [], [5, 0]):
        asked = np.array(items, np.int32)
        np.testing.assert_array_equal(looks(asked), everything[asked])


def test_legacy_figures_stand_beside_the_exact_ones(tiny_run: Run, tmp_path: Path) -> None:
    run = _copy(tiny_run, tmp_path)
    figures = evaluate_run(run, legacy_sampled=True)
    told = figures["legacy_sampled"]
    assert (told["num_sampled"], told["seed"]) == (100, 0)
    # Only 16 items: all are drawn, so the estimate is the exact one over test and validation items, without its ties.
    wins = []
    for user in range(8):
        scores = run.factors.scores(np.array([user]))[0]
        others = np.setdiff1d(np.arange(16), [*run.seen_items(user, Split.TRAIN), user])
        wins.append((scores[user] > scores[others]).mean())
    assert told["auc"]["all"] == pytest.approx(np.mean(wins))
    assert told["auc"]["cold"] == told["auc"]["all"]
    assert told["auc"]["warm"] is None
    assert "legacy_sampled" not in evaluate_run(run)


def test_validation_figures_are_those_of_the_validation_part(tiny_run: Run, tmp_path: Path) -> None:
    figures = evaluate_run(_copy(tiny_run, tmp_path), split="validation")
    told = validation_figures(tiny_run.factors, tiny_run.interactions)
    assert told == {"auc": figures["auc"]["all"], "auc_cold": figures["auc"]["cold"]}


def test_unknown_split(tiny_run: Run) -> None:
    with pytest.raises(ConfigError, match=r"validation, test\. Received 'train'"):
        evaluate_run(tiny_run, split="train")


def test_nothing_held_out(tiny_run: Run, tmp_path: Path) -> None:
    run = _copy(tiny_run, tmp_path)
    interactions = run.interactions
    only_training: Interactions = dataclasses.replace(
        interactions, splits=np.full(len(interactions), Split.TRAIN, np.uint8)
    )
    only_training.write(run.path / "interactions.parquet")
    with pytest.raises(RunError, match="a user needs 3 actions"):
        evaluate_run(Run.open(run.path))
