"""The tables of the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr_export.retrieval.indexes import EmbeddingTable


@pytest.mark.parametrize("quantize", ["none", "bfloat16", "int8"])
def test_gathering_rows_does_not_make_later_reads_copies(quantize: Any) -> None:
    """A million items are 256 MB: copied at each read, they triple the time of a request."""
    values = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    table = EmbeddingTable(values, "items", quantize=quantize)
    rows = tf.function(table.gather)(tf.constant([[3, 1], [0, 49]]))
    np.testing.assert_allclose(rows, values[[[3, 1], [0, 49]]], atol=0.02)
    first, second = table.values.read_value(), table.values.read_value()
    assert np.shares_memory(first._numpy(), second._numpy())
