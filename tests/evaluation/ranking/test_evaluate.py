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
from tfdvbpr.evaluation.ranking.evaluate import evaluate_run, table_rows, validation_metrics
from tfdvbpr.evaluation.ranking.metrics import metric_names
from tfdvbpr.evaluation.ranking.top_k import ItemFeatures
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
    figures = evaluate_run(run).metrics
    assert run.metrics == figures == json.loads((run.path / "metrics.json").read_text())
    assert list(figures) == [
        "run",
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
    without = evaluate_run(run, metric_names(lists=False)).metrics
    assert list(without) == list(figures)[:-3]
    assert list(evaluate_run(run, ["recall@2", "auc_cold"]).metrics["auc"]) == ["cold"]


def test_every_user_has_a_row(tiny_run: Run, tmp_path: Path) -> None:
    run = _copy(tiny_run, tmp_path)
    figures = evaluate_run(run, metric_names(3)).metrics
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
    diversity = ["diversity@10"]
    assert evaluate_run(run, diversity).metrics["diversity@10"] is None
    assert evaluate_run(run, diversity, dataset=checkerboard_dataset.path).metrics["diversity@10"] is not None
    with pytest.raises(DatasetError, match="tfdvbpr prepare"):
        evaluate_run(run, diversity, dataset=tmp_path)


def test_images_are_read_once_and_features_are_in_the_order_of_the_items(checkerboard_dataset: PreparedDataset) -> None:
    features = ItemFeatures(checkerboard_dataset)
    everything = FEATURE_EXTRACTORS["colour-and-edges"](checkerboard_dataset.images.read(np.arange(16)))
    for items in ([3, 1], [1, 5, 3], [], [5, 0]):
        rows = np.array(items, np.int32)
        np.testing.assert_array_equal(features(rows), everything[rows].reshape(len(rows), features(rows).shape[1]))


def test_the_legacy_metrics_are_computed_when_named(tiny_run: Run, tmp_path: Path) -> None:
    run = _copy(tiny_run, tmp_path)
    names = ["legacy_sampled_auc", "legacy_sampled_auc_cold", "legacy_sampled_auc_warm"]
    metrics = evaluate_run(run, names).metrics
    # Only 16 items: all are sampled, so the estimate is the exact one over test and validation items, without its ties.
    wins = []
    for user in range(8):
        scores = run.factors.scores(np.array([user]))[0]
        others = np.setdiff1d(np.arange(16), [*run.seen_items(user, Split.TRAIN), user])
        wins.append((scores[user] > scores[others]).mean())
    assert metrics["legacy_sampled_auc"] == pytest.approx(np.mean(wins))
    assert metrics["legacy_sampled_auc_cold"] == metrics["legacy_sampled_auc"]
    assert metrics["legacy_sampled_auc_warm"] is None
    _, rows = table_rows([metrics])
    assert rows[-1] == ["legacy_sampled_auc_warm", "–"]


def test_validation_metrics_are_those_of_the_validation_part(tiny_run: Run, tmp_path: Path) -> None:
    metrics = evaluate_run(_copy(tiny_run, tmp_path), split="validation").metrics
    found = validation_metrics(tiny_run.factors, tiny_run.interactions)
    assert found == {"auc": metrics["auc"]["all"], "auc_cold": metrics["auc"]["cold"]}


def test_unknown_split(tiny_run: Run) -> None:
    with pytest.raises(ConfigError, match=r"validation, test\. Received 'train'"):
        evaluate_run(tiny_run, split="train")


def test_a_run_without_held_out_actions_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    run = _copy(tiny_run, tmp_path)
    interactions = run.interactions
    only_training: Interactions = dataclasses.replace(
        interactions, splits=np.full(len(interactions), Split.TRAIN, np.uint8)
    )
    only_training.write(run.path / "interactions.parquet")
    with pytest.raises(RunError, match="a user needs 3 actions"):
        evaluate_run(Run.open(run.path))
