from __future__ import annotations

from pathlib import Path
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
from tfdvbpr.training.recommender import precision
from tfdvbpr.training.recommender.precision import check_precision, computing_in, settled_precision
from tfdvbpr.training.recommender.train import RecommenderTrainer


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


@pytest.mark.parametrize(
    "values", [{"precision": "mixed_bfloat16"}, {"precision": "mixed_float16"}, {"jit_compile": True}]
)
def test_it_trains(checkerboard_dataset: PreparedDataset, values: dict[str, Any]) -> None:
    """Free tastes: tables learn beside the network, and with float16 from a loss that is scaled."""
    config = recommender_config(
        "dvbpr", epochs=8, embedding_dim=4, global_batch_size=16, user_embeddings="free", dropout=0.0, **values
    )
    strategy = make_strategy("one-device")
    trainer = RecommenderTrainer(checkerboard_dataset, config, strategy)
    before = [variable.numpy() for variable in trainer.model.trainable_variables]
    losses: list[float] = []

    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["loss"]))
    progress = TrainingProgress(trainer.batches, epochs=8)
    run_epochs(distributed_step(strategy, trainer.replica_step), progress, callbacks=[keep])
    assert losses[-1] < 0.9 * losses[0]
    for old, variable in zip(before, trainer.model.trainable_variables, strict=True):
        change = np.abs(variable.numpy() - old).max()
        assert 0 < change < 1, variable.path
    if values.get("precision") == "mixed_float16":
        assert float(trainer.optimizers.loss_scale) > 1
        tables = trainer.model.user_embeddings.numpy()
        assert np.isfinite(tables).all()


def test_auto_is_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"float32": 1.0, "mixed_bfloat16": 0.5}
    monkeypatch.setattr(precision, "_step_seconds", lambda network, size, pictures, name: seconds[name])
    config = recommender_config("dvbpr", precision="auto")
    lines: list[str] = []
    settled = settled_precision(config, (32, 32), tmp_path, told=lines.append)
    assert settled.precision == "mixed_bfloat16"
    assert lines == [
        "Precision: mixed_bfloat16; forward and backward of 128 pictures through small_cnn: "
        "float32 1000 ms, mixed_bfloat16 500 ms."
    ]
    seconds["mixed_bfloat16"] = 0.95
    assert settled_precision(config, (32, 32), tmp_path).precision == "mixed_bfloat16"  # as it began
    other = tmp_path / "other"
    other.mkdir()
    assert settled_precision(config, (32, 32), other).precision == "float32"  # not a tenth faster


def test_the_measurement_leaves_a_time_for_each(tmp_path: Path) -> None:
    lines: list[str] = []
    config = recommender_config("dvbpr", precision="auto", global_batch_size=4)
    chosen = settled_precision(config, (32, 32), tmp_path, told=lines.append).precision
    assert lines[0].startswith(f"Precision: {chosen}; forward and backward of 4 pictures through small_cnn: float32 ")
    assert (
        settled_precision(recommender_config("vbpr", precision="auto"), (32, 32), tmp_path / "x").precision == "float32"
    )


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match="bpr-mf has none"):
        check_precision(recommender_config("bpr-mf", precision="mixed_bfloat16"))
    with pytest.raises(ConfigError, match="with one replica"):
        check_precision(recommender_config("dvbpr", jit_compile=True), num_replicas=2)
