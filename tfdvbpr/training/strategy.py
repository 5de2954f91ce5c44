"""Which devices train: one, all GPUs of a machine, or several machines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfdvbpr.errors import ConfigError

STRATEGIES = ("auto", "one-device", "mirrored", "multi-worker")


def make_strategy(name: str = "auto", *, devices: Sequence[str] | None = None) -> Any:
    """A tf.distribute strategy.

    Args:
        name: "auto" takes several workers if TF_CONFIG names a cluster, else mirrors over the GPUs if there is more than one, else uses
            the one device. "mirrored" with no GPU mirrors over the logical CPUs.
        devices: names such as "GPU:0"; all of the kind when left out. Not for "multi-worker".

    Raises:
        ConfigError: if the name is unknown or TF_CONFIG holds no cluster for "multi-worker".
    """
    if name not in STRATEGIES:
        raise ConfigError(f"`strategy` must be one of {', '.join(STRATEGIES)}. Received {name!r}.")
    cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster")
    gpus = [f"GPU:{number}" for number in range(len(tf.config.list_logical_devices("GPU")))]
    cpus = [f"CPU:{number}" for number in range(len(tf.config.list_logical_devices("CPU")))]
    chosen = list(devices or gpus or cpus)
    if name == "auto":
        name = "multi-worker" if cluster else "mirrored" if len(devices or gpus) > 1 else "one-device"
    if name == "multi-worker":
        if not cluster:
            raise ConfigError("TF_CONFIG must name a cluster for `strategy` multi-worker. Set it on every worker.")
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(chosen)
    return tf.distribute.OneDeviceStrategy(chosen[0])


def is_chief(strategy: Any) -> bool:
    """Whether this process is the one that writes files."""
    return bool(strategy.extended.should_checkpoint)


def worker_number(strategy: Any) -> int:
    """0 for the process that writes the run, another number for each further worker; names a worker's own files."""
    return 0 if is_chief(strategy) else int(strategy.cluster_resolver.task_id) + 1


def least_over_workers(strategy: Any, number: int) -> int:
    """The smallest of the numbers that the workers bring; waits until each has brought its own."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return number
    brought = strategy.experimental_distribute_values_from_function(lambda context: tf.constant([number], tf.int64))
    return int(tf.reduce_min(strategy.gather(brought, axis=0)))


def write_once(strategy: Any, output: Path, write: Callable[[], None]) -> None:
    """Has the chief write a folder while the other workers wait; one that does not share its disk then writes a copy.

    Args:
        strategy: the workers'.
        output: what `write` makes.
        write: makes it; called at most once on each worker.
    """
    if is_chief(strategy):
        write()
    least_over_workers(strategy, 0)
    if not output.is_dir():
        write()
