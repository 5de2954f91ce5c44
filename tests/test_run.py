from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import DatasetError, RunError, UnknownIdError
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.run import GanRun, Run
from tfdvbpr.training.recommender.train import train_recommender


@pytest.fixture
def copy(tiny_run: Run, tmp_path: Path) -> Path:
    """The tiny run in a folder that may be damaged."""
    return Path(shutil.copytree(tiny_run.path, tmp_path / "run"))


def _change(run: Path, **values: Any) -> None:
    manifest = run / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **values}))


def _message(kind: type[Exception], action: Callable[[], object]) -> str:
    """The error's message, which has to be one line."""
    with pytest.raises(kind) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    told = _message(RunError, lambda: Run.open(tmp_path / "nowhere"))
    assert told.startswith("RUN must be a folder made by `tfdvbpr train`.")
    assert told.endswith(f"Run `tfdvbpr train DATASET --output {tmp_path / 'nowhere'}` first.")
    assert "`tfdvbpr train-gan DATASET" in _message(RunError, lambda: GanRun.open(tmp_path / "nowhere"))


def test_another_version(copy: Path) -> None:
    _change(copy, format_version=99)
    told = _message(RunError, lambda: Run.open(copy))
    assert told == (
        f"RUN must be of format version 1. {copy} is of version 99. Train again with this version of tfdvbpr."
    )


@pytest.mark.parametrize("text", ["", "not json", '{"format_version": 1}', "[]"])
def test_a_damaged_manifest(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text)
    told = _message(RunError, lambda: Run.open(copy))
    assert "manifest.json cannot be read as a run" in told
    assert told.endswith("Train again.")


def test_the_other_kind(tiny_run: Run, tiny_gan_run: GanRun) -> None:
    told = _message(RunError, lambda: Run.open(tiny_gan_run.path))
    assert told == f"{tiny_gan_run.path} must be a recommender run. It is a gan run. Give the other folder."
    told = _message(RunError, lambda: GanRun.open(tiny_run.path))
    assert told == f"{tiny_run.path} must be a gan run. It is a recommender run. Give the other folder."


def test_the_dataset_has_changed(copy: Path, checkerboard_dataset: PreparedDataset) -> None:
    _change(copy, dataset_fingerprint="0123456789abcdef")
    told = _message(DatasetError, Run.open(copy).open_dataset)
    assert "was trained on the dataset 0123456789abcdef" in told
    assert checkerboard_dataset.manifest.fingerprint in told
    assert "Give the right folder with --dataset, or train again." in told


def test_the_dataset_is_gone_or_has_moved(copy: Path, checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    _change(copy, dataset_path=str(gone))
    told = _message(DatasetError, Run.open(copy).open_dataset)
    assert told.endswith(f"{gone}, which must still be there. It is gone. Say where it lies now with --dataset.")
    moved = Path(shutil.copytree(checkerboard_dataset.path, tmp_path / "moved"))
    assert Run.open(copy).open_dataset(moved).path == moved


def test_a_run_without_weights(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    run = train_recommender(checkerboard_dataset, recommender_config("popularity"), tmp_path / "run")
    told = _message(RunError, lambda: run.recommender)
    assert "A popularity run has none. Use a dvbpr run." in told


def test_reopened_weights_give_the_stored_factors(copy: Path, checkerboard_dataset: PreparedDataset) -> None:
    run = Run.open(copy)
    images = checkerboard_dataset.images.read(np.arange(16)).astype(np.float32) / 127.5 - 1.0
    embeddings = run.recommender.embed_images(images).numpy()
    np.testing.assert_allclose(embeddings, run.factors.item_embeddings, atol=1e-4)


def test_recommendations_are_the_best_unseen_items(tiny_run: Run) -> None:
    """Of 16 items a user has acted on 8; the other 8 remain, by falling score."""
    scores = tiny_run.score(["u3"], [f"i{item}" for item in range(16)])[0]
    unseen = [item for item in range(16) if item % 2 == 0]
    best = sorted(unseen, key=lambda item: -scores[item])
    answer = tiny_run.recommend("u3", k=5)
    assert [each.item_id for each in answer] == [f"i{item}" for item in best[:5]]
    assert [each.score for each in answer] == pytest.approx([scores[item] for item in best[:5]])
    everything = tiny_run.recommend("u3", k=100, exclude_seen=False)
    assert len({each.item_id for each in everything}) == 16
    assert {each.category for each in tiny_run.recommend("u3", category="shoe", k=100)} == {"shoe"}


def test_questions_that_cannot_be_answered(tiny_run: Run) -> None:
    assert "Nearest: 'u3'" in _message(UnknownIdError, lambda: tiny_run.recommend("u33"))
    assert "Nearest: 'shoe'" in _message(UnknownIdError, lambda: tiny_run.recommend("u3", category="shoes"))
    assert "`item` must be one of" in _message(UnknownIdError, lambda: tiny_run.score(["u3"], ["jacket"]))
    assert "`k` must be at least 1" in _message(ValueError, lambda: tiny_run.recommend("u3", k=0))
