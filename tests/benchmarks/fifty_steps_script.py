"""Fifty steps of DVBPR or of the GAN, then every weight to argv[4].

argv: a dataset, the way ("dvbpr", "gan", or either with "-float64"), a strategy's name, and the file to write.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

path, way, strategy_name, output = sys.argv[1:]
if strategy_name == "mirrored":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from tfdvbpr.training.distributed.strategy import is_chief, local_replicas, make_strategy  # noqa: E402

strategy = make_strategy(strategy_name)
if way.endswith("-float64"):
    # Every number of the step with twice the digits: what is left of a difference is no rounding.
    keras.config.set_floatx("float64")
    tf.float32 = tf.float64

from tfdvbpr.config import gan_config  # noqa: E402
from tfdvbpr.data.batches.source import Batch  # noqa: E402
from tfdvbpr.data.dataset import PreparedDataset  # noqa: E402
from tfdvbpr.models.recommenders import recommender_config  # noqa: E402
from tfdvbpr.training.checkpoints.file import values, variables  # noqa: E402
from tfdvbpr.training.engine.loop import TrainingProgress, distributed_step, run_epochs  # noqa: E402
from tfdvbpr.training.gan.trainer import GanTrainer  # noqa: E402
from tfdvbpr.training.recommender.data import TrainingData  # noqa: E402
from tfdvbpr.training.recommender.step import RecommenderTrainer  # noqa: E402

STEPS = 50
# The paper's step size. A large ε: biases below a normalisation have a gradient of 0, whose rounding Adam would scale
# up to whole steps. In float64 the GAN keeps the preset's own values.
_CALM = {"learning_rate": 1e-4, "adam_epsilon": 1e-2}


class EnoughError(Exception):
    pass


def _trainer(dataset: PreparedDataset) -> Any:
    if way == "dvbpr":
        calm = {**_CALM, "user_learning_rate": 1e-4}
        config = recommender_config("dvbpr", embedding_dim=4, global_batch_size=8, dropout=0.0, epochs=STEPS, **calm)
        return RecommenderTrainer(TrainingData.from_dataset(dataset, config), config, strategy)
    small = {"base_channels": 4, "discriminator_channels": 4, "latent_dim": 4, "global_batch_size": 8, "epochs": STEPS}
    calm = {} if way.endswith("-float64") else {**_CALM, "discriminator_learning_rate": 1e-4}
    return GanTrainer(dataset, gan_config("plain", **small, **calm), strategy)


def _as_float64(parts: Sequence[Batch]) -> list[Batch]:
    return [
        {name: array.astype(np.float64) if array.dtype == np.float32 else array for name, array in part.items()}
        for part in parts
    ]


def main() -> None:
    trainer = _trainer(PreparedDataset.open(Path(path)))
    held = {name: each for name, each in trainer.trackables().items() if "optim" not in name}
    named = variables({name: each for name, each in held.items() if name in ("model", "generator", "discriminator")})
    before = values(named)
    compiled = distributed_step(strategy, trainer.replica_step)

    def step(parts: Sequence[Batch]) -> dict[str, Any]:
        return compiled(_as_float64(parts) if way.endswith("-float64") else parts)

    progress = TrainingProgress(trainer.batches, epochs=STEPS)

    def stop(batch: int, logs: dict[str, float]) -> None:
        if progress.total_steps == STEPS:
            raise EnoughError

    enough = keras.callbacks.LambdaCallback(on_train_batch_end=stop)
    with suppress(EnoughError):
        run_epochs(step, progress, replicas=local_replicas(strategy), callbacks=[enough])
    if is_chief(strategy):
        after = values(named)
        trained = {f"after/{named[name].name}/{name}": array for name, array in after.items()}
        np.savez(output, **trained, **{f"before/{named[name].name}/{name}": array for name, array in before.items()})


main()
