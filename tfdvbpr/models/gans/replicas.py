"""Sums and means over the replicas that train together."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def sum_over_replicas(value: Any) -> Any:
    """The sum of what each replica brings; the value itself where there is one replica, or none is meant.

    Differentiable: a replica's part in the sum gets the gradients that all replicas have for it.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def mean_over_replicas(value: Any) -> Any:
    """The mean of what each replica brings; see `sum_over_replicas`."""
    context = tf.distribute.get_replica_context()
    return sum_over_replicas(value) / (1 if context is None else context.num_replicas_in_sync)
