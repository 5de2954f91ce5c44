"""Which devices train: one, all GPUs of a machine, or several machines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr import errors
from tfdvbpr.config.base import StrategyName
from tfdvbpr.errors import ConfigError, TfdvbprError, check_choice

_MESSAGE_WORDS = 1 << 21  # 16 MiB a message


def make_strategy(name: StrategyName = "auto", *, devices: Sequence[str] | None = None) -> Any:
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
    check_choice("strategy", name, get_args(StrategyName))
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


def is_multi_worker(strategy: Any) -> bool:
    """Whether other processes train along."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def local_replicas(strategy: Any) -> list[int]:
    """Global numbers of the replicas that this process drives, in order."""
    found: list[int] = []

    def note(context: Any) -> Any:
        found.append(int(context.replica_id_in_sync_group))
        return tf.zeros([])

    if strategy.num_replicas_in_sync > 1:
        strategy.experimental_distribute_values_from_function(note)
    return sorted(found) or [0]


def _from_chief(strategy: Any, array: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The chief's array on every worker: an all-reduce to which the other replicas add zeros of the same shape."""

    def summand(context: Any) -> Any:
        return tf.constant(array if context.replica_id_in_sync_group == 0 else np.zeros_like(array))

    values = strategy.experimental_distribute_values_from_function(summand)
    return np.asarray(strategy.reduce("SUM", values, axis=None))


def broadcast_number(strategy: Any, number: int) -> int:
    """The chief's number, on every worker; waits until every worker has called it."""
    return int(_from_chief(strategy, np.array([number], np.int64))[0]) if is_multi_worker(strategy) else number


def broadcast_bytes(strategy: Any, make: Callable[[], bytes]) -> bytes:
    """What `make` returns on the chief, on every worker; it is called on the chief alone.

    Raises:
        TfdvbprError: that `make` raised, on every worker.
    """
    if not is_multi_worker(strategy):
        return make()
    error, data = "", b""
    if is_chief(strategy):
        try:
            data = make()
        except TfdvbprError as raised:
            error = f"{type(raised).__name__} {raised}"
    received = _broadcast(strategy, error.encode())
    if received:
        kind, _, message = received.decode().partition(" ")
        raise getattr(errors, kind, TfdvbprError)(message)
    return _broadcast(strategy, data)


def _broadcast(strategy: Any, data: bytes) -> bytes:
    """The chief's bytes, on every worker, in messages of whole numbers."""
    size = broadcast_number(strategy, len(data))
    words = np.zeros(-(-size // 8), np.int64)
    if is_chief(strategy):
        words.view(np.uint8)[:size] = np.frombuffer(data, np.uint8)
    parts = [_from_chief(strategy, words[at : at + _MESSAGE_WORDS]) for at in range(0, len(words), _MESSAGE_WORDS)]
    return np.concatenate(parts).tobytes()[:size] if parts else b""


def write_once(strategy: Any, output: Path, write: Callable[[], None]) -> None:
    """Has the chief write the folder `output`; workers that do not share its disk then write a copy."""
    if is_chief(strategy):
        write()
    broadcast_number(strategy, 0)
    if not output.is_dir():
        write()
