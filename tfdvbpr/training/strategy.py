"""Which devices train: one, all GPUs of a machine, or several machines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfdvbpr.errors import ConfigError

STRATEGIES = ("auto", "one-device", "mirrored", "multi-worker")


def make_strategy(name: str = "auto", *, devices: Sequence[str] | None = None) -> Any:
    """A tf.distribute strategy.

    Args:
        name: "auto" takes several workers if TF_CONFIG names a cluster, else mirrors over the GPUs if there is more
            than one, else uses the one device. "mirrored" with no GPU mirrors over the logical CPUs.
        devices: names such as "GPU:0"; all of the kind when left out. Not for "multi-worker".

    Returns:
        The strategy; the same one each time for several replicas. Several workers have to call this before TensorFlow
        does any work in the process.

    Raises:
        ConfigError: if the name is unknown or TF_CONFIG holds no cluster for "multi-worker".
    """
    if name not in STRATEGIES:
        raise ConfigError(f"`strategy` must be one of {', '.join(STRATEGIES)}. Received {name!r}.")
    cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster")
    if name == "multi-worker" and not cluster:
        raise ConfigError("TF_CONFIG must name a cluster for `strategy` multi-worker. Set it on every worker.")
    if name == "multi-worker" or (name == "auto" and cluster):
        # Before anything else of TensorFlow, even a list of devices: collectives are set up at the program's start.
        return _multi_worker()
    gpus = [f"GPU:{number}" for number in range(len(tf.config.list_logical_devices("GPU")))]
    cpus = [f"CPU:{number}" for number in range(len(tf.config.list_logical_devices("CPU")))]
    chosen = tuple(devices or gpus or cpus)
    if name == "mirrored" or (name == "auto" and len(devices or gpus) > 1):
        return _mirrored(chosen)
    return tf.distribute.OneDeviceStrategy(chosen[0])


# One strategy a process: each numbers its collectives from the same start, so that two of them would meet.
@cache
def _multi_worker() -> Any:
    return tf.distribute.MultiWorkerMirroredStrategy()


@cache
def _mirrored(devices: tuple[str, ...]) -> Any:
    return tf.distribute.MirroredStrategy(devices)


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
