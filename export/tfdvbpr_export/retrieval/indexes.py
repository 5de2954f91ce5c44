"""Ids and item embeddings as the graph holds them, and TensorFlow Recommenders' indexes. Imports TensorFlow.

The only place that imports tensorflow_recommenders; see docs/decisions/0003 and 0018.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders.factors import Array
from tfdvbpr_export.options import Quantize, ScannOptions

SCANN_NAMESPACE = "Scann"
_DIMENSIONS_PER_BLOCK = 2  # numbers that share a hash of ScaNN; more are faster and coarser
_LEGACY_KERAS = "TF_USE_LEGACY_KERAS"
_SAMPLE, _SAMPLE_SEED = 256, 0
_log = logging.getLogger(__name__)


class Ids(tf.Module):
    """String ids, all different, to rows by a static hash table; an unknown id gets the row after the last.

    The ids are constants of the graph, not lines of an asset file, for an id may hold a line break.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__()
        self.count = len(ids)
        self.names = tf.constant([*ids, ""])  # the row after the last is no item
        initializer = tf.lookup.KeyValueTensorInitializer(self.names[:-1], tf.range(len(ids)))
        self._table = tf.lookup.StaticHashTable(initializer, default_value=len(ids))

    def rows(self, ids: Any) -> tuple[Any, Any]:
        """Rows, int32, and whether each id is known, bool, both of the shape of `ids`."""
        rows = self._table.lookup(ids)
        return rows, rows < self.count

    def optional_rows(self, ids: Any) -> tuple[Any, Any]:
        """The same, where "" stands for no id and counts as known."""
        rows, known = self.rows(ids)
        return rows, known | tf.equal(ids, "")


class EmbeddingTable(tf.Module):
    """float32 [N, D], stored in 32, 16 or 8 bits a number, read as float32 row by row or block by block.

    Rows of 8 bits are q · s with s = max|x| / 127 (symmetric, a scale a row). `unquantized`, float32 [N, E], are
    further columns, which keep 32 bits.
    """

    def __init__(
        self, values: Array, name: str, *, quantize: Quantize = "none", unquantized: Array | None = None
    ) -> None:
        super().__init__()
        self.num_rows, self.width = len(values), values.shape[1]
        self.scales, self.unquantized = None, None
        if unquantized is not None:
            self.width += unquantized.shape[1]
            self.unquantized = tf.Variable(unquantized, trainable=False, name=f"{name}_unquantized")
        if quantize == "int8":
            scales = np.maximum(np.abs(values).max(axis=1, initial=0.0), np.finfo(np.float32).tiny) / 127.0
            self.scales = tf.Variable(scales.astype(np.float32), trainable=False, name=f"{name}_scales")
            values = np.rint(values / scales[:, None]).astype(np.int8)
        dtype = tf.bfloat16 if quantize == "bfloat16" else values.dtype
        self.values = tf.Variable(values, dtype=dtype, trainable=False, name=name)

    @classmethod
    def of_variable(cls, variable: Any) -> EmbeddingTable:
        """A float32 table that another part of the model keeps already."""
        table = cls.__new__(cls)
        tf.Module.__init__(table)
        table.scales, table.unquantized, table.values = None, None, variable
        table.num_rows, table.width = variable.shape
        return table

    @property
    def is_float32(self) -> bool:
        """Whether reading converts nothing."""
        return bool(self.values.dtype == tf.float32) and self.unquantized is None

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
        return values if self.unquantized is None else tf.concat([values, take(self.unquantized)], axis=-1)

    def numpy(self) -> Array:
        """float32 [N, D], as the graph reads it; outside of graphs only."""
        return np.asarray(self.block(0, self.num_rows))


@dataclass(frozen=True)
class Index:
    """A layer that ranks the whole catalogue at once: from float32 [B, D] and k to scores and rows, [B, k] each.

    `most` is the largest k, None for any; `needs` the op namespaces that a server must have.
    """

    layer: Any
    most: int | None = None
    needs: tuple[str, ...] = ()


def recommenders_library() -> Any | None:
    """TensorFlow Recommenders' retrieval layers; None, with a log line, where it cannot be imported.

    It needs Keras 2 under the name tf.keras, which it gets if nothing has touched tf.keras in this process before.
    """
    before = os.environ.get(_LEGACY_KERAS)
    os.environ[_LEGACY_KERAS] = "1"
    try:
        return import_module("tensorflow_recommenders.layers.factorized_top_k")
    except ImportError as error:
        _log.warning("tensorflow-recommenders is unavailable (%s); the project's own exact search is used.", error)
        return None
    finally:
        if before is None:
            del os.environ[_LEGACY_KERAS]
        else:
            os.environ[_LEGACY_KERAS] = before


def brute_force(library: Any, items: Array) -> Index:
    """TFRS's exact layer; its variable `_candidates` holds the items."""
    layer = library.BruteForce(name="brute_force")
    layer.index(tf.constant(items))
    return Index(layer)


def scann(library: Any | None, items: Array, options: ScannOptions) -> Index:
    """TFRS's approximate layer; ConfigError if ScaNN or TensorFlow Recommenders is not installed."""
    if library is None or not library._HAVE_SCANN:
        raise ConfigError(
            '`retrieval` "scann" needs ScaNN and TensorFlow Recommenders. One is not installed. '
            "Install the extra: pip install 'tfdvbpr[scann]' (Linux), or take brute-force."
        )
    layer = library.ScaNN(
        k=min(options.num_reordering_candidates, len(items)),
        num_leaves=options.num_leaves,
        num_leaves_to_search=options.num_leaves_to_search,
        num_reordering_candidates=options.num_reordering_candidates,
        dimensions_per_block=_DIMENSIONS_PER_BLOCK,
        name="scann",
    )
    layer.index(tf.constant(items))
    return Index(layer, most=options.num_reordering_candidates, needs=(SCANN_NAMESPACE,))


def recall(queries: Array, items: Array, search: Callable[[Any, int], tuple[Any, Any]], *, k: int) -> float:
    """Mean share of the k truly best items, by dot product, among the k that a search finds.

    `queries` are float32 [Q, D], `items` float32 [N, D] as trained.
    """
    hits = 0
    for start in range(0, len(queries), 16):
        block = queries[start : start + 16]
        exact = tf.math.top_k(block @ items.T, k).indices.numpy()
        found = np.asarray(search(tf.constant(block), k)[1])
        hits += sum(len(np.intersect1d(a, b)) for a, b in zip(exact, found, strict=True))
    return hits / (k * max(len(queries), 1))


def sampled_queries(users: Array) -> Array:
    """At most 256 users, the same at each call."""
    if len(users) <= _SAMPLE:
        return users
    return users[np.sort(np.random.default_rng(_SAMPLE_SEED).choice(len(users), _SAMPLE, replace=False))]
