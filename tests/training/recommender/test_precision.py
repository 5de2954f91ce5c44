from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.backbones import BackboneOptions, build_backbone
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.engine.loop import TrainingProgress, distributed_step, run_epochs
from tfdvbpr.training.recommender.data import TrainingData
from tfdvbpr.training.recommender.step import computing_in
from tfdvbpr.training.recommender.train import RecommenderTrainer, check_config


def _types(function: Any, images: Any) -> dict[str, set[str]]:
    """Element types that convolutions and matrix products of a traced function are computed in, by kind of op."""
    found: dict[str, set[str]] = {}
    for op in function.get_concrete_function(images).graph.get_operations():
        if op.type in ("Conv2D", "MatMul"):
            found.setdefault(op.type, set()).add(op.outputs[0].dtype.name)
    return found


def test_a_network_computes_in_another_precision_only_meanwhile() -> None:
    network = build_backbone("small_cnn", (32, 32), BackboneOptions(embedding_dim=4))
    images = tf.random.stateless_uniform((4, 32, 32, 3), (0, 1), -1, 1)

    def embed(pictures: Any) -> Any:
        return network(pictures, training=False)

    with computing_in(network, "mixed_bfloat16"):
        mixed = tf.function(embed)
        assert _types(mixed, images) == {"Conv2D": {"bfloat16"}, "MatMul": {"bfloat16"}}
    plain = tf.function(lambda pictures: embed(pictures))
    assert _types(plain, images) == {"Conv2D": {"float32"}, "MatMul": {"float32"}}
    assert mixed(images).dtype == plain(images).dtype == tf.float32
    assert {variable.dtype for variable in network.variables if "seed" not in variable.path} == {"float32"}
    scale = np.abs(plain(images)).max()
    np.testing.assert_allclose(mixed(images), plain(images), atol=0.05 * scale)
    assert (mixed(images).numpy() != plain(images).numpy()).any()


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_it_trains(checkerboard_dataset: PreparedDataset, precision: str) -> None:
    """Tables of free user embeddings learn beside the network; with float16 the loss is scaled."""
    config = recommender_config(
        "dvbpr",
        epochs=8,
        embedding_dim=4,
        global_batch_size=16,
        user_embeddings="free",
        dropout=0.0,
        precision=precision,
    )
    strategy = make_strategy("one-device")
    trainer = RecommenderTrainer(TrainingData.from_dataset(checkerboard_dataset, config), config, strategy)
    before = [variable.numpy() for variable in trainer.model.trainable_variables]
    losses: list[float] = []

    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["loss"]))
    progress = TrainingProgress(trainer.batches, epochs=8)
    run_epochs(distributed_step(strategy, trainer.replica_step), progress, callbacks=[keep])
    assert losses[-1] < 0.9 * losses[0]
    for old, variable in zip(before, trainer.model.trainable_variables, strict=True):
        change = np.abs(variable.numpy() - old).max()
        assert 0 < change < 1, variable.path
    if precision == "mixed_float16":
        assert float(trainer.optimizers.loss_scale) > 1
        tables = trainer.model.user_embeddings.numpy()
        assert np.isfinite(tables).all()


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match="of bpr-mf, which has no backbone, must be float32"):
        check_config(recommender_config("bpr-mf", precision="mixed_bfloat16"))
