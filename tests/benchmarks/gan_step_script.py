"""Times steps of the preset `default` of GANs on request.

argv: a dataset and a strategy's name. A line on standard input is a kind of step, "warm-up" (of G alone) or "full",
and a number of steps; the answer is their seconds, a JSON list.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import tfdvbpr  # before TensorFlow, for which it chooses kernels

path, strategy_name = sys.argv[1:]

import tensorflow as tf  # noqa: E402

if strategy_name == "mirrored":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from tfdvbpr.training.distributed.strategy import local_replicas  # noqa: E402
from tfdvbpr.training.engine.loop import distributed_step  # noqa: E402
from tfdvbpr.training.gan.trainer import GanTrainer  # noqa: E402


def main() -> None:
    strategy = tfdvbpr.make_strategy(strategy_name)
    trainer = GanTrainer(tfdvbpr.PreparedDataset.open(Path(path)), tfdvbpr.gan_config("default"), strategy)
    batches, step = trainer.batches, distributed_step(strategy, trainer.replica_step)
    epochs = {"warm-up": 0, "full": batches.epochs - 1}
    parts = {kind: next(batches.epoch(epoch, replicas=local_replicas(strategy))) for kind, epoch in epochs.items()}

    def seconds(kind: str) -> float:
        began = time.perf_counter()
        for loss in step(parts[kind]).values():
            float(loss)  # waits for the device
        return time.perf_counter() - began

    for kind in parts:
        seconds(kind), seconds(kind)  # compiled, and oneDNN's kernels made
    print("ready", flush=True)
    for line in sys.stdin:
        kind, count = line.split()
        print(json.dumps([seconds(kind) for _ in range(int(count))]), flush=True)


main()
