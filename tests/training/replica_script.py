"""Trains on two logical CPUs, once on one of them and once on both, and writes the weights to argv[1].

Run by test_distribution.py in a process of its own: logical devices have to be made before TensorFlow starts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from tiny_data import checkerboard  # noqa: E402

from tfdvbpr.config import GanConfig, recommender_config  # noqa: E402
from tfdvbpr.training.gan_trainer import train_gan  # noqa: E402
from tfdvbpr.training.loop import distributed_step, run_epochs  # noqa: E402
from tfdvbpr.training.recommender_trainer import RecommenderTrainer  # noqa: E402
from tfdvbpr.training.strategy import make_strategy  # noqa: E402


def main(folder: Path) -> None:
    dataset = checkerboard(folder)
    arrays = {}
    for model, batching in (("dvbpr", "shared-item"), ("dvbpr", "triplet"), ("bpr-mf", "triplet")):
        config = recommender_config(
            model,
            batching=batching,
            epochs=2,
            embedding_dim=4,
            global_batch_size=8,
            dropout=0.0,
            learning_rate=1e-3,
            user_learning_rate=1e-2,
            backbone_l2=1e-2,
        )
        for name in ("one-device", "mirrored"):
            strategy = make_strategy(name)
            trainer = RecommenderTrainer(dataset, config, strategy)
            losses = []
            run_epochs(
                distributed_step(strategy, trainer.replica_step),
                trainer.batches,
                epochs=config.epochs,
                actions=[lambda report, kept=losses: kept.append(list(report.losses.values()))],
            )
            key = f"{model},{batching},{name}"
            arrays[f"{key},replicas"] = np.array(strategy.num_replicas_in_sync)
            arrays[f"{key},losses"] = np.array(losses)
            for number, variable in enumerate(trainer.model.variables):
                copies = strategy.experimental_local_results(variable.value)
                for replica, copy in enumerate(copies):
                    arrays[f"{key},weight {number} {variable.name},{replica}"] = copy.numpy()
    gan = GanConfig(epochs=1, latent_dim=4, base_channels=4, discriminator_channels=4, global_batch_size=8)
    run = train_gan(dataset, gan, folder / "gan", strategy=make_strategy("mirrored"))
    arrays["gan,finite"] = np.array(all(np.isfinite(weight).all() for weight in run.generator.get_weights()))
    np.savez(folder / "weights.npz", **arrays)


main(Path(sys.argv[1]))
