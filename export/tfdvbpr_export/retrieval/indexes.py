"""Indexes over the whole catalogue: TensorFlow Recommenders' BruteForce and ScaNN. Imports TensorFlow.

The only place that imports tensorflow_recommenders; see docs/decisions/0003 and 0018.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.errors import ConfigError
from tfdvbpr.models.recommenders.factors import Array
from tfdvbpr_export.options import ScannOptions
from tfdvbpr_export.recommender.table import Table

SCANN_NAMESPACE = "Scann"
_LEGACY_KERAS = "TF_USE_LEGACY_KERAS"
_SAMPLE, _SAMPLE_SEED = 256, 0
_log = logging.getLogger(__name__)


def recommenders_library() -> Any | None:
    """TensorFlow Recommenders' retrieval layers; None, with a line to say why, where it cannot be had.

    It asks for Keras 2 under the name tf.keras, which it gets if nothing has touched tf.keras in this process before.
    """
    before = os.environ.get(_LEGACY_KERAS)
    os.environ[_LEGACY_KERAS] = "1"
    try:
        return import_module("tensorflow_recommenders.layers.factorized_top_k")
    except ImportError as error:
        _log.warning("tensorflow-recommenders cannot be had here (%s); this project's own exact search is used.", error)
        return None
    finally:
        if before is None:
            del os.environ[_LEGACY_KERAS]
        else:
            os.environ[_LEGACY_KERAS] = before


@dataclass(frozen=True)
class Index:
    """A layer that answers for every category at once.

    Attributes:
        layer: called with queries, float32 [B, D], and k; gives scores and rows, [B, k] each.
        most: of k; None for any.
        needs: op namespaces that a server must have.
    """

    layer: Any
    most: int | None = None
    needs: tuple[str, ...] = ()


def brute_force(library: Any, items: Array) -> Index:
    """TFRS's exact layer; its variable `_candidates` holds the items."""
    layer = library.BruteForce(name="brute_force")
    layer.index(tf.constant(items))
    return Index(layer)


class _MatrixProduct(tf.Module):
    """What TFRS's BruteForce does, where TFRS cannot be had."""

    def __init__(self, items: Table) -> None:
        super().__init__()
        self.items = items

    def __call__(self, queries: Any, k: Any) -> tuple[Any, Any]:
        best = tf.math.top_k(tf.matmul(queries, self.items.values, transpose_b=True), k)
        return best.values, best.indices


def matrix_product(items: Table) -> Index:
    """This project's own exact layer, over a whole table."""
    return Index(_MatrixProduct(items))


def scann(library: Any | None, items: Array, options: ScannOptions) -> Index:
    """TFRS's approximate layer.

    Raises:
        ConfigError: if ScaNN or TensorFlow Recommenders is not installed.
    """
    if library is None or not library._HAVE_SCANN:
        raise ConfigError(
            '`retrieval` "scann" needs ScaNN and TensorFlow Recommenders. One is not here. '
            "Install the extra: pip install 'tfdvbpr[scann]' (Linux), or take brute-force."
        )
    layer = library.ScaNN(
        k=min(options.num_reordering_candidates, len(items)),
        num_leaves=options.num_leaves,
        num_leaves_to_search=options.num_leaves_to_search,
        num_reordering_candidates=options.num_reordering_candidates,
        dimensions_per_block=options.dimensions_per_block,
        name="scann",
    )
    layer.index(tf.constant(items))
    return Index(layer, most=options.num_reordering_candidates, needs=(SCANN_NAMESPACE,))


def recall(queries: Array, items: Array, found: Any, *, k: int) -> float:
    """Mean share of the k truly best items among the k that were found.

    Args:
        queries: float32 [Q, D].
        items: float32 [N, D], as trained.
        found: from float32 [B, D] and k to scores and rows.
        k: cut-off.
    """
    hits = 0
    for start in range(0, len(queries), 16):
        block = queries[start : start + 16]
        exact = tf.math.top_k(block @ items.T, k).indices.numpy()
        approximate = np.asarray(found(tf.constant(block), k)[1])
        hits += sum(len(np.intersect1d(a, b)) for a, b in zip(exact, approximate, strict=True))
    return hits / (k * max(len(queries), 1))


def sampled_queries(users: Array) -> Array:
    """At most 256 users, the same at each call."""
    if len(users) <= _SAMPLE:
        return users
    return users[np.sort(np.random.default_rng(_SAMPLE_SEED).choice(len(users), _SAMPLE, replace=False))]
