"""A step on a table of users costs the same however many there are."""

from __future__ import annotations

import time

import keras
import numpy as np
import tensorflow as tf

from tfdvbpr.models.recommenders.bpr_mf import BPRMF
from tfdvbpr.training.optimizers import RowAdam

COMMAND = "python -m pytest tests/benchmarks/test_row_updates.py -s"
DIM, BATCH, STEPS = 100, 4096, 20
FEW, MANY = 10_000, 1_000_000


def _step_seconds(num_users: int, *, by_rows: bool) -> float:
    """Median seconds of drawing rows, a squared loss on them, and the update."""
    model = BPRMF(num_users=num_users, num_items=2, embedding_dim=DIM)
    table = model.user_embeddings
    optimizer = RowAdam(0.01) if by_rows else keras.optimizers.Adam(0.01)
    optimizer.build([table])

    @tf.function(input_signature=[tf.TensorSpec([BATCH], tf.int32)], autograph=False)
    def step(rows: tf.Tensor) -> tf.Tensor:
        if by_rows:
            optimizer.catch_up(table, rows)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model.embed_users(rows) - 1.0))
        gradient = tape.gradient(loss, table.value)
        optimizer.apply([gradient if by_rows else tf.convert_to_tensor(gradient)], [table])
        return loss

    generator = np.random.default_rng(0)
    spent = []
    for _ in range(STEPS):
        rows = tf.constant(generator.integers(0, num_users, BATCH), tf.int32)
        began = time.perf_counter()
        float(step(rows))
        spent.append(time.perf_counter() - began)
    return float(np.median(spent[3:]))


def test_a_step_does_not_grow_with_the_users() -> None:
    few, many = (_step_seconds(count, by_rows=True) for count in (FEW, MANY))
    dense = _step_seconds(MANY, by_rows=False)
    print(
        f"\n{COMMAND}\n{BATCH} rows of {DIM}: {1000 * few:.1f} ms a step with {FEW:,} users, {1000 * many:.1f} ms with "
        f"{MANY:,} (×{many / few:.2f}, bar ×3, of which all is memory further away); "
        f"Keras' Adam over the whole table {1000 * dense:.0f} ms"
    )
    assert many < 3 * few
    assert many < 0.2 * dense
