"""What may happen to a training: signals, losses that are not finite, a full disk."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_callbacks import BeforeStep, log_lines

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import DiskFullError
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.checkpoints.file import Saved, saved_files, write_saved
from tfdvbpr.training.checkpoints.signals import Interrupted
from tfdvbpr.training.recommender.train import train_recommender


def _train(
    dataset: PreparedDataset, output: Path, act_before: tuple[int, Callable[[], object]] | None = None, **values: Any
) -> Any:
    """BPR-MF in a few steps of 24 triplets, four an epoch; calls something before a step."""
    config = recommender_config("bpr-mf", **{"epochs": 2, "embedding_dim": 4, "global_batch_size": 12, **values})
    callbacks = [] if act_before is None else [BeforeStep(*act_before)]
    return train_recommender(dataset, config, output, callbacks=callbacks)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_training_after_a_checkpoint(
    number: int, code: int, checkerboard_dataset: PreparedDataset, tmp_path: Path
) -> None:
    before = signal.getsignal(number)
    output = tmp_path / "run"
    with pytest.raises(
        Interrupted, match=r"stopped after step 3, the last good checkpoint is step 3\. The same"
    ) as outcome:
        _train(checkerboard_dataset, output, (2, lambda: os.kill(os.getpid(), number)))
    assert outcome.value.code == code
    assert signal.getsignal(number) == before
    if number == signal.SIGINT:
        return
    run = _train(checkerboard_dataset, output)
    whole = _train(checkerboard_dataset, tmp_path / "whole")
    np.testing.assert_array_equal(run.factors.user_embeddings, whole.factors.user_embeddings)


def test_a_second_signal_does_not_wait(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        _train(checkerboard_dataset, tmp_path / "run", (2, twice))


def test_what_is_not_finite_is_not_written(checkerboard_dataset: PreparedDataset, tmp_path: Path) -> None:
    """A step of 1e38 makes weights of infinity by the second step; the first step's loss is finite."""
    with pytest.raises(FloatingPointError, match=r"must stay finite.*The last good checkpoint is step \d+\."):
        _train(checkerboard_dataset, tmp_path / "run", user_learning_rate=1e38, checkpoint_steps=1)
    for path in saved_files(tmp_path / ".run.training", "step"):
        with np.load(path) as arrays:
            assert all(np.isfinite(arrays[name]).all() for name in arrays.files)
    assert not (tmp_path / "run").exists()


@contextmanager
def _room(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: the system itself refuses to write, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_last_checkpoint(
    checkerboard_dataset: PreparedDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "run"
    with _room(1 << 30):

        def fill() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

        with pytest.raises(DiskFullError, match=r"The disk is full .*: the last good checkpoint is step 3\."):
            _train(checkerboard_dataset, output, (3, fill), checkpoint_steps=1)
    assert not list((tmp_path / ".run.training").glob(".*"))
    caplog.set_level("INFO", "tfdvbpr")
    config = recommender_config("bpr-mf", epochs=2, embedding_dim=4, global_batch_size=12)
    train_recommender(checkerboard_dataset, config, output)
    assert log_lines(caplog)[0].startswith("Continuing an interrupted training after epoch 0 of 2, step 3 of ")


@pytest.mark.parametrize("size", [1, 1000, 30_000])
def test_a_checkpoint_file_appears_whole_or_not_at_all(size: int, tmp_path: Path) -> None:
    saved = Saved({"weights": np.arange(10_000, dtype=np.float32)}, {})
    with _room(size), pytest.raises(OSError, match="File too large"):
        write_saved(tmp_path, "step", 1, saved)
    assert not list(tmp_path.iterdir())
