"""One step of CNN-F at 224×224 against a bare matrix product on the same cores in the same run."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from generated_dataset import generated

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.engine.loop import distributed_step
from tfdvbpr.training.recommender.data import TrainingData
from tfdvbpr.training.recommender.train import RecommenderTrainer

COMMAND = "python -m pytest tests/benchmarks/test_step_speed.py -s"
SIDE, BATCH = 224, 128
BARS = {"float32": 0.8, "mixed_bfloat16": 0.6}


def _operations(network: Any) -> float:
    """Floating-point operations of a training step, a picture: 2 a multiply-add, forward and twice backward.

    Convolutions and dense layers alone. The first layer's gradient with respect to the picture is not computed.
    """
    forward = []
    for layer in network.layers:
        if hasattr(layer, "kernel"):
            places = np.prod(layer.output.shape[1:-1], dtype=float)
            forward.append(2.0 * places * np.prod(layer.kernel.shape))
    return 3 * sum(forward) - forward[0]


def _product_rate(dtype: Any, size: int = 2048) -> float:
    """Operations a second of a matrix product, the best of a few."""
    left, right = (tf.cast(tf.random.stateless_normal((size, size), (0, seed)), dtype) for seed in (0, 1))
    product = tf.function(lambda: tf.matmul(left, right))
    product()
    spent = []
    for _ in range(8):
        began = time.perf_counter()
        product().numpy()
        spent.append(time.perf_counter() - began)
    return 2.0 * size**3 / min(spent)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("step") / "dataset"
    return generated(folder, num_items=512, num_users=400, actions_per_user=10, size=(SIDE, SIDE), cached=True)


@pytest.mark.parametrize("precision", list(BARS))
@pytest.mark.parametrize("batching", ["triplet", "shared-item"])
def test_a_step_is_near_the_matrix_product(dataset: PreparedDataset, batching: str, precision: str) -> None:
    """The preset `paper` at its batch of 128 triplets, which are 256 pictures; or shared items, 128 pictures."""
    values = {"precision": precision, "batching": batching, "global_batch_size": BATCH, "reduction": "mean"}
    config = recommender_config(
        "dvbpr", preset="paper", overrides=[f"{name}={value}" for name, value in values.items()]
    )
    strategy = make_strategy("one-device")
    trainer = RecommenderTrainer(TrainingData.from_dataset(dataset, config), config, strategy)
    step = distributed_step(strategy, trainer.replica_step)
    batch = next(trainer.batches.epoch(0))
    kind = tf.bfloat16 if "bfloat16" in precision else tf.float32
    rates, spent = [_product_rate(kind)], []
    float(step(batch)["loss"])
    for _ in range(4):
        began = time.perf_counter()
        float(step(batch)["loss"])
        spent.append(time.perf_counter() - began)
    rates.append(_product_rate(kind))
    pictures = trainer.batches.images_per_step
    operations = pictures * _operations(trainer.model.backbone)
    rate = operations / min(spent)
    print(
        f"\n{COMMAND}\n{batching} {precision}: {pictures} pictures, {operations / 1e9:.0f} GFLOP, {min(spent):.2f} s, "
        f"{rate / 1e9:.0f} GFLOP/s = {rate / max(rates):.0%} of the matrix product's {max(rates) / 1e9:.0f} "
        f"(bar {BARS[precision]:.0%}); {BATCH / min(spent):.1f} {'triplets' if batching == 'triplet' else 'items'}/s"
    )
    assert rate >= BARS[precision] * max(rates)
