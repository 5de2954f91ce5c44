"""Reading pictures from the packed JPEGs against a bare decoder, and what a training step waits for them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import keras
import numpy as np
import pytest
import simplejpeg
from generated_dataset import generated

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.engine.loop import TrainingProgress, distributed_step, run_epochs
from tfdvbpr.training.recommender.data import TrainingData
from tfdvbpr.training.recommender.train import RecommenderTrainer

COMMAND = "python -m pytest tests/benchmarks/test_input_speed.py -s"
SIDE, BATCH, COUNT, ROUNDS = 224, 128, 1024, 5


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("input") / "dataset"
    return generated(folder, num_items=COUNT, num_users=1000, actions_per_user=10, size=(SIDE, SIDE), cached=False)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def test_input_alone_keeps_up_with_a_bare_decoder(dataset: PreparedDataset) -> None:
    """Both decode files of 224×224 with one library and its same options; ours also reads the files, stacks batches."""
    packed, threads = dataset.images.packed, os.cpu_count() or 1
    order = np.random.default_rng(0).permutation(COUNT)
    files = [packed.jpeg(item) for item in order.tolist()]

    def ours() -> None:
        for start in range(0, COUNT, BATCH):
            packed.read(order[start : start + BATCH])

    with ThreadPoolExecutor(threads) as pool:

        def bare() -> None:
            list(pool.map(partial(simplejpeg.decode_jpeg, fastdct=True), files, chunksize=16))

        ours(), bare()
        spent = [(_seconds(ours), _seconds(bare)) for _ in range(ROUNDS)]  # turn by turn, on one and the same machine
    best = [COUNT / min(seconds) for seconds in zip(*spent, strict=True)]
    print(
        f"\n{COMMAND}\ninput alone {best[0]:.0f} pictures/s, simplejpeg on {threads} threads {best[1]:.0f}: "
        f"{best[0] / best[1]:.0%} (bar 90%)"
    )
    assert best[0] >= 0.9 * best[1]


@pytest.mark.parametrize(("backbone", "cache"), [("cnn_f", "none"), ("cnn_f", "disk"), ("small_cnn", "memory")])
def test_a_step_hardly_waits(dataset: PreparedDataset, backbone: str, cache: str) -> None:
    config = recommender_config("dvbpr", backbone=backbone, image_cache=cache, user_embeddings="free", epochs=2)
    strategy = make_strategy("one-device")
    trainer = RecommenderTrainer(TrainingData.from_dataset(dataset, config), config, strategy)
    progress = TrainingProgress(trainer.batches, epochs=2)
    found: list[tuple[float, float]] = []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: found.append((progress.input_wait, progress.images_per_second))
    )
    run_epochs(distributed_step(strategy, trainer.replica_step), progress, callbacks=[keep])
    wait, speed = found[-1]  # the first epoch compiles
    print(
        f"\n{COMMAND}\n{backbone} at {SIDE}, image_cache {cache}: waited for input {wait:.1%} of the time "
        f"(bar 5%); {speed:.0f} images/s"
    )
    assert wait < 0.05
