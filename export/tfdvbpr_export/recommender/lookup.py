"""Ids to rows, inside the graph. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.models.recommenders.factors import Array


class Ids(tf.Module):
    """String ids to rows by a static hash table; an unknown id gets the row after the last.

    The ids are constants of the graph, not lines of an asset file, for an id may hold a line break.

    Args:
        ids: of row 0, 1, ...; all different.
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
        """The same, where "" asks for nothing and counts as known."""
        rows, known = self.rows(ids)
        return rows, known | tf.equal(ids, "")


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

    @property
    def mean(self) -> Any:
        """float32 [D]."""
        return self.embeddings[-1]


class SeenItems(tf.Module):
    """What each user has acted on; an unknown user has not acted on anything.

    Args:
        seen: int32 item rows, a list a user.
        num_items: pads the answers.
    """

    def __init__(self, seen: Sequence[npt.NDArray[np.int32]], *, num_items: int) -> None:
        super().__init__()
        # An unknown user's row follows the last user's, and is empty.
        splits = np.cumsum([0, *map(len, seen), 0], dtype=np.int64)
        rows = np.concatenate([*seen, np.zeros(0, np.int32)])
        self.items = tf.Variable(rows, trainable=False, dtype=tf.int32, name="seen_items")
        self.splits = tf.Variable(splits, trainable=False, name="seen_splits")
        self.num_items = num_items
        self.num_users = len(seen)

    def of(self, users: Any, wanted: Any) -> Any:
        """int32 [B, n]: the items of user rows, int32 [B], where `wanted`, bool [B]; filled up with num_items."""
        by_user = tf.RaggedTensor.from_row_splits(self.items, self.splits, validate=False)
        return tf.gather(by_user, tf.where(wanted, users, self.num_users)).to_tensor(self.num_items)
