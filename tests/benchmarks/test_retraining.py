"""Retraining on a tenth more actions, against a training from nothing: AUC, recall@10, processor time.

TFDVBPR_RETRAINING_DATASET names a prepared dataset and TFDVBPR_RETRAINING_CONFIG a YAML file with `model` and its
values; left out, BPR-MF on simulated shoppers. Where the actions have times, the last tenth of the training actions is
new; where they have none, the last tenth of each user's in a seeded order.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from tfdvbpr import api
from tfdvbpr.config.base import given_fields
from tfdvbpr.data.dataset import INTERACTIONS_NAME, MANIFEST_NAME, PreparedDataset
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.data.preparation.options import PrepareOptions
from tfdvbpr.data.preparation.prepare import file_records
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import Run

SHARE = 0.1
MOST_AUC, MOST_RECALL, MOST_TIME = 0.002, 0.005, 0.1


def earlier(dataset: PreparedDataset, folder: Path, *, seed: int = 0) -> PreparedDataset:
    """A copy of a dataset in which the new tenth of the training actions is neither trained on nor evaluated."""
    now = dataset.interactions
    train = np.flatnonzero(now.splits == Split.TRAIN)
    numbers = np.random.default_rng(seed).random(len(train))
    if now.timestamps is not None:
        place = np.argsort(np.argsort(now.timestamps[train], kind="stable")) / len(train)
    else:
        order = np.lexsort((numbers, now.user_ids[train]))
        counts = np.bincount(now.user_ids[train], minlength=now.num_users)
        begin = np.cumsum(counts) - counts
        users = now.user_ids[train][order]
        place = np.empty(len(train))
        place[order] = (np.arange(len(train)) - begin[users]) / counts[users]
    splits = now.splits.copy()
    splits[train[place >= 1 - SHARE]] = Split.WITHHELD
    shutil.copytree(dataset.path, folder)
    old = Interactions(now.user_ids, now.item_ids, splits, now.num_users, now.num_items, now.timestamps)
    old.write(folder / INTERACTIONS_NAME)
    manifest = json.loads((folder / MANIFEST_NAME).read_text())
    (folder / MANIFEST_NAME).unlink()
    shutil.rmtree(folder / "features", ignore_errors=True)
    files, fingerprint = file_records(folder)
    manifest |= {"files": {name: record.model_dump() for name, record in files.items()}, "fingerprint": fingerprint}
    manifest |= {"num_train": int((splits == Split.TRAIN).sum()), "num_withheld": int((splits == Split.WITHHELD).sum())}
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))
    return PreparedDataset.open(folder)


def _measured(train: object, run_path: Path) -> tuple[Run, float, float]:
    """The run, and the seconds of processor and wall that its training took."""
    cpu, wall = time.process_time(), time.perf_counter()
    run = train()  # type: ignore[operator]
    return run, time.process_time() - cpu, time.perf_counter() - wall


def test_a_retraining_is_as_good_in_a_tenth_of_the_time(tmp_path: Path) -> None:
    if named := os.environ.get("TFDVBPR_RETRAINING_DATASET"):
        dataset = PreparedDataset.open(shutil.copytree(named, tmp_path / "dataset"))
    else:
        dataset = api.prepare(
            None,
            tmp_path / "dataset",
            source_format="synthetic",
            importer_options={"num_items": 1000, "num_users": 2000},
            options=PrepareOptions(image_size=(32, 32)),
        )
    file = os.environ.get("TFDVBPR_RETRAINING_CONFIG")
    values = {"model": "bpr-mf", **given_fields(None if file is None else Path(file), ())}
    config = recommender_config(values.pop("model"), **values)
    before = earlier(dataset, tmp_path / "earlier")
    old = api.train(before, tmp_path / "old", config=config)
    rows = {"before the new actions": (old, 0.0, 0.0)}
    # Features of a frozen network are computed before either is measured.
    api.train(dataset, tmp_path / "warm", config=config.model_copy(update={"epochs": 1}))
    rows["from nothing"] = _measured(lambda: api.train(dataset, tmp_path / "full", config=config), tmp_path / "full")
    rows["retraining"] = _measured(lambda: api.train(dataset, tmp_path / "again", start_from=old), tmp_path / "again")
    found = {}
    for name, (run, cpu, wall) in rows.items():
        metrics = api.evaluate(run, dataset=dataset.path if run is not old else before.path)
        found[name] = metrics
        print(f"{name}: {json.dumps(metrics)[:600]}\n    processor {cpu:.0f} s, wall {wall:.0f} s")
    share = rows["retraining"][1] / rows["from nothing"][1]
    print(f"share of the processor's time: {share:.3f}")
    assert share <= MOST_TIME
    for metric, most in (("auc", MOST_AUC), ("recall@10", MOST_RECALL)):
        full, again = (_figure(found[name], metric) for name in ("from nothing", "retraining"))
        assert again == pytest.approx(full, abs=most) or again > full


def _figure(metrics: dict[str, object], name: str) -> float:
    value = metrics[name]
    return float(value["all"] if isinstance(value, dict) else value)  # type: ignore[arg-type]
