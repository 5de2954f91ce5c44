from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.evaluation.evaluate import evaluate_run, validation_figures
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
        "num_cold",
        "auc",
        "recall@10",
        "ndcg@10",
        "mrr",
    ]
    assert (figures["model"], figures["split"], figures["num_users"]) == ("dvbpr", "test", 8)
    assert 0.0 <= figures["auc"]["all"] <= 1.0
    assert figures["num_cold"] == 8
    assert evaluate_run(run, cold_threshold=0)["auc"]["cold"] is None


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
