"""A table with a row an item, as the graph holds it: whole, or in fewer bits. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.models.recommenders.factors import Array
from tfdvbpr_export.options import Quantize


class Table(tf.Module):
    """float32 [N, D], kept as told and given back as float32, row by row or block by block.

    Rows of 8 bits are q · s with s = max|x| / 127 (symmetric, a scale a row).

    Args:
        values: float32 [N, D].
        name: of the variable.
        quantize: a name in QUANTIZE.
        whole: float32 [N, E], further columns, which stay whole.
    """

    def __init__(self, values: Array, name: str, *, quantize: Quantize = "none", whole: Array | None = None) -> None:
        super().__init__()
        self.num_rows, self.width = len(values), values.shape[1]
        self.scales, self.whole = None, None
        if whole is not None:
            self.width += whole.shape[1]
            self.whole = tf.Variable(whole, trainable=False, name=f"{name}_whole")
        if quantize == "int8":
            scales = np.maximum(np.abs(values).max(axis=1, initial=0.0), np.finfo(np.float32).tiny) / 127.0
            self.scales = tf.Variable(scales.astype(np.float32), trainable=False, name=f"{name}_scales")
            values = np.rint(values / scales[:, None]).astype(np.int8)
        dtype = tf.bfloat16 if quantize == "bfloat16" else values.dtype
        self.values = tf.Variable(values, dtype=dtype, trainable=False, name=name)

    @classmethod
    def of_variable(cls, variable: Any) -> Table:
        """A float32 table that another part of the model keeps already."""
        table = cls.__new__(cls)
        tf.Module.__init__(table)
        table.scales, table.whole, table.values = None, None, variable
        table.num_rows, table.width = variable.shape
        return table

    @property
    def is_whole(self) -> bool:
        """Whether nothing has to be converted."""
        return bool(self.values.dtype == tf.float32) and self.whole is None

    def gather(self, rows: Any) -> Any:
        """float32 [..., D]: the rows, int32 [...].

        Read, then gathered: gathering from the variable itself would have TensorFlow copy the whole table at each
        later read, in every signature (`copy_on_read_mode`).
        """
        return self._float(lambda table: tf.gather(table.read_value(), rows))

    def block(self, start: Any, size: Any) -> Any:
        """float32 [size, D]: neighbouring rows."""
        return self._float(lambda table: table[start : start + size])

    def _float(self, take: Callable[[Any], Any]) -> Any:
        values = tf.cast(take(self.values), tf.float32)
        if self.scales is not None:
            values *= take(self.scales)[..., None]
        return values if self.whole is None else tf.concat([values, take(self.whole)], axis=-1)

    def numpy(self) -> Array:
        """float32 [N, D], as the graph sees it; outside of graphs only."""
        return np.asarray(self.block(0, self.num_rows))
