"""Ids to rows, inside the graph. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.models.factors import Array


class Ids(tf.Module):
    """String ids to rows by a static hash table; an unknown id gets the row after the last.

    The ids are constants of the graph, not lines of an asset file, for an id may hold a line break.

    Args:
        ids: of row 0, 1, ...; all different.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__()
        self.count = len(ids)
        initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(list(ids)), tf.range(len(ids)))
        self._table = tf.lookup.StaticHashTable(initializer, default_value=len(ids))

    def rows(self, ids: Any) -> tuple[Any, Any]:
        """Rows, int32, and whether each id is known, bool, both of the shape of `ids`."""
        rows = self._table.lookup(ids)
        return rows, rows < self.count


class Tastes(tf.Module):
    """User ids to θ; an unknown user has the mean taste.

    Args:
        user_ids: of row 0, 1, ...
        user_embeddings: float32 [num_users, D].
    """

    def __init__(self, user_ids: Sequence[str], user_embeddings: Array) -> None:
        super().__init__()
        self.users = Ids(user_ids)
        mean = user_embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
        embeddings = np.vstack([user_embeddings, mean])
        self.embeddings = tf.Variable(embeddings, trainable=False, name="user_embeddings")

    def lookup(self, user_ids: Any) -> tuple[Any, Any, Any]:
        """θ float32 [B, D], rows int32 [B] (num_users where unknown) and bool [B], whether the user is known."""
        rows, known = self.users.rows(user_ids)
        return tf.gather(self.embeddings, rows), rows, known
