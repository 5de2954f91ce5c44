"""Trains on two logical CPUs, once on one of them and once on both, and writes the outcome to argv[1].

Run by test_distribution.py in a process of its own: logical devices have to be made before TensorFlow starts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

sys.modules["sklearn"] = None  # type: ignore[assignment]  # Keras imports it where it is there: a second

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # rewriting graphs takes time
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from tiny_cnn import tiny_cnn  # noqa: E402
from tiny_data import checkerboard  # noqa: E402
from training_callbacks import train_with_keras_callbacks  # noqa: E402

from tfdvbpr.config import GanConfig  # noqa: E402
from tfdvbpr.data.dataset import PreparedDataset  # noqa: E402
from tfdvbpr.models import backbones  # noqa: E402
from tfdvbpr.models.recommenders import recommender_config  # noqa: E402
from tfdvbpr.training.distributed.strategy import make_strategy  # noqa: E402
from tfdvbpr.training.engine.loop import TrainingProgress, distributed_step, run_epochs  # noqa: E402
from tfdvbpr.training.gan.pool import LatentPool  # noqa: E402
from tfdvbpr.training.gan.trainer import GanTrainer  # noqa: E402
from tfdvbpr.training.recommender.data import TrainingData  # noqa: E402
from tfdvbpr.training.recommender.train import RecommenderTrainer  # noqa: E402

backbones.BACKBONES = {"small_cnn": tiny_cnn}  # type: ignore[assignment]


def outcome(dataset: PreparedDataset, model: str, batching: str, strategy_name: str) -> Iterator[tuple[str, Any]]:
    """Names and arrays of one training: replicas, losses, and each replica's weights and Adam's first moments."""
    config = recommender_config(
        model,
        batching=batching,
        epochs=2 if batching == "shared-item" else 1,
        user_embeddings="leave-one-out" if batching == "shared-item" else "free",
        embedding_dim=4,
        global_batch_size=8,
        dropout=0.0,
        learning_rate=1e-3,
        user_learning_rate=1e-3,
        backbone_l2=1e-2,
    )
    strategy = make_strategy(strategy_name)
    trainer = RecommenderTrainer(TrainingData.from_dataset(dataset, config), config, strategy)
    losses: list[list[float]] = []
    progress = TrainingProgress(trainer.batches, epochs=config.epochs)
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append([*progress.losses().values()]))
    run_epochs(distributed_step(strategy, trainer.replica_step), progress, callbacks=[keep])
    slots = [*trainer.optimizers.network.variables, *trainer.optimizers.tables.variables]
    yield from arrays_of(strategy, losses, trainer.model.variables, slots)


def gan_outcome(
    dataset: PreparedDataset, strategy_name: str, *, steps: int = 2, **values: Any
) -> Iterator[tuple[str, Any]]:
    """The same of a GAN's steps; a large ε, for biases under batch normalisation have gradients of rounding."""
    config = GanConfig.model_validate({**_GAN, **values})
    strategy = make_strategy(strategy_name)
    trainer = GanTrainer(dataset, config, strategy)
    step = distributed_step(strategy, trainer.replica_step)
    pool = LatentPool(dataset, trainer.batches, trainer.generate, trainer.discriminator.features, config, strategy)
    pool.set_params({"progress": TrainingProgress(trainer.batches, epochs=1)})
    pool.on_epoch_begin(0)
    losses = [[float(value) for value in step(parts).values()] for parts in islice(trainer.batches.epoch(0), steps)]
    held = trainer.trackables()
    weights = [*trainer.generator.variables, *trainer.discriminator.variables]
    slots = [slot for name, each in held.items() if name.endswith("optimizer") for slot in each.variables]
    yield from arrays_of(strategy, losses, weights, slots)
    with trainer.averaged():
        yield from copies(strategy, "kept", trainer.generator.variables)


_GAN = {
    "epochs": 1,
    "generator": "conditional",
    "objective": "hinge",
    "latent_dim": 4,
    "base_channels": 4,
    "discriminator_channels": 4,
    "global_batch_size": 8,
    "mismatch_weight": 0.3,
    "pull_weight": 1.0,
    "augmentation": ["colour"],
    "learning_rate": 1e-3,
    "discriminator_learning_rate": 1e-3,
    "adam_epsilon": 1e-3,
}


def arrays_of(strategy: Any, losses: Any, weights: list[Any], slots: list[Any]) -> Iterator[tuple[str, Any]]:
    yield "replicas", strategy.num_replicas_in_sync
    yield "losses", losses
    groups = {"weight": weights, "moment": [slot for slot in slots if "momentum" in slot.path]}
    for kind, variables in groups.items():
        yield from copies(strategy, kind, variables)


def copies(strategy: Any, kind: str, variables: list[Any]) -> Iterator[tuple[str, Any]]:
    """Every replica's copy of each variable."""
    for number, variable in enumerate(variables):
        for replica, copy in enumerate(strategy.experimental_local_results(variable.value)):
            name = f"{number}" if kind == "moment" else f"{number} {variable.name}"  # a slot's name counts models
            yield f"{kind} {name},{replica}", copy.numpy()


def main(folder: Path, projected: bool) -> None:
    """With `projected` that discriminator alone, which takes its time."""
    dataset = checkerboard(folder, size=16)
    arrays = {}
    if projected:
        for strategy_name in ("one-device", "mirrored"):
            for name, array in gan_outcome(dataset, strategy_name, steps=1, discriminator="projected"):
                arrays[f"gan,projected,{strategy_name},{name}"] = np.array(array)
        np.savez(folder / "weights.npz", **arrays)
        return
    for model, batching in (("dvbpr", "shared-item"), ("dvbpr", "triplet"), ("bpr-mf", "triplet")):
        for strategy_name in ("one-device", "mirrored"):
            for name, array in outcome(dataset, model, batching, strategy_name):
                arrays[f"{model},{batching},{strategy_name},{name}"] = np.array(array)
    for strategy_name in ("one-device", "mirrored"):
        for name, array in gan_outcome(dataset, strategy_name):
            arrays[f"gan,convolutional,{strategy_name},{name}"] = np.array(array)
    np.savez(folder / "weights.npz", **arrays)
    seen = train_with_keras_callbacks(dataset, folder, make_strategy("mirrored"))
    (folder / "callbacks.json").write_text(json.dumps(seen))


main(Path(sys.argv[1]), projected="projected" in sys.argv[2:])
