"""Named filters over the columns of the catalogue, computed at export and looked up by name. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import tensorflow as tf

from tfdvbpr.data.filters import matching_items
from tfdvbpr_export.options import MAX_FILTERS
from tfdvbpr_export.requests import require
from tfdvbpr_export.retrieval.indexes import Ids


class ItemFilters(tf.Module):
    """Which items pass each filter, a bit of memory a filter and item.

    A set of filters is one number: bit n of it is the n-th filter.

    Args:
        expressions: by name, at most 32; see `tfdvbpr.data.filters`.
        table: the items' columns, a row an item.
    """

    def __init__(self, expressions: Mapping[str, str], table: pl.DataFrame) -> None:
        super().__init__()
        self.names = Ids(list(expressions)) if expressions else None
        masks = [matching_items(table, where) for where in expressions.values()]
        if masks:
            self.masks = tf.Variable(np.stack(masks), trainable=False, name="item_filters")
            self.bits = tf.constant(2 ** np.arange(len(masks), dtype=np.int64))

    def sets(self, names: Any) -> tuple[Any, Any]:
        """int64 [B], the set that each row of string [B, F] names, and bool [B, F], whether each is known or ""."""
        width = tf.shape(names)[1]
        sentence = f"`filters` must have at most {MAX_FILTERS} columns. Received {{}}."
        names = require(width <= MAX_FILTERS, sentence, width, then=lambda: tf.identity(names))
        nothing = tf.equal(names, "")
        if self.names is None:
            return tf.zeros(tf.shape(names)[:1], tf.int64), nothing
        rows, known = self.names.rows(names)
        chosen = tf.one_hot(tf.where(known, rows, -1), self.names.count, True, False, dtype=tf.bool)  # [B, F, N]
        chosen = tf.reduce_any(chosen, axis=1)
        return tf.reduce_sum(tf.where(chosen, self.bits, tf.zeros_like(self.bits)), axis=1), known | nothing

    def mask(self, number: Any) -> Any:
        """bool [num_items]: which items pass all filters of a set, int64 []; all of them where it is 0."""
        assert self.names is not None
        wanted = tf.not_equal(tf.bitwise.bitwise_and(number, self.bits), 0)  # [N]
        return tf.reduce_all(self.masks | ~wanted[:, None], axis=0)
