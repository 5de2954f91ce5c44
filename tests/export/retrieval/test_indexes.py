"""The tables of the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr_export.retrieval.indexes import EmbeddingTable, Ids


@pytest.mark.parametrize("quantize", ["none", "bfloat16", "int8"])
def test_gathering_rows_does_not_make_later_reads_copies(quantize: Any) -> None:
    """A million items are 256 MB: copied at each read, they triple the time of a request."""
    values = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    table = EmbeddingTable(values, "items", quantize=quantize)
    rows = tf.function(table.gather)(tf.constant([[3, 1], [0, 49]]))
    np.testing.assert_allclose(rows, values[[[3, 1], [0, 49]]], atol=0.02)
    first, second = table.values.read_value(), table.values.read_value()
    assert np.shares_memory(first._numpy(), second._numpy())


def test_any_id_survives_saving(tmp_path: Path) -> None:
    """Line breaks, tabs, other alphabets: ids are bytes to the tables."""
    strange = ["a\nb", "a\r", "\t", "käse", "羽織", "☃", " x ", "0"]
    module = tf.Module()
    module.ids = Ids(strange)
    module.rows = tf.function(module.ids.rows, input_signature=[tf.TensorSpec([None], tf.string)])
    module.names = tf.function(lambda: module.ids.names, input_signature=[])
    tf.saved_model.save(module, str(tmp_path / "ids"))
    loaded = tf.saved_model.load(str(tmp_path / "ids"))
    rows, known = loaded.rows(tf.constant([*strange, "x", ""]))
    assert rows.numpy().tolist() == [*range(8), 8, 8]
    assert known.numpy().tolist() == [True] * 8 + [False] * 2
    assert [name.decode() for name in loaded.names().numpy()] == [*strange, ""]
