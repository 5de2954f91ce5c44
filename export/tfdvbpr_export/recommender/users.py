"""User embeddings in the graph: by user id, or folded in from liked items. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.models.recommenders.factors import Array
from tfdvbpr.models.recommenders.fold_in import LikedItems
from tfdvbpr.run import Run
from tfdvbpr_export.options import MAX_LIKED_ITEMS, Quantize
from tfdvbpr_export.requests import require
from tfdvbpr_export.retrieval.indexes import EmbeddingTable, Ids

_BLOCK_FLOATS = 1 << 22


class UserEmbeddings(tf.Module):
    """User ids, of row 0, 1, ..., to θ, float32 [num_users, D]; an unknown user gets the mean user's."""

    def __init__(self, user_ids: Sequence[str], embeddings: Array) -> None:
        super().__init__()
        self.users = Ids(user_ids)
        values = np.vstack([embeddings, mean_embedding(embeddings)])
        self.embeddings = tf.Variable(values, trainable=False, name="user_embeddings")

    def lookup(self, user_ids: Any) -> tuple[Any, Any, Any]:
        """θ float32 [B, D], rows int32 [B] (num_users where unknown) and bool [B], whether the user is known."""
        rows, known = self.users.rows(user_ids)
        return tf.gather(self.embeddings, rows), rows, known


def mean_embedding(embeddings: Array) -> Array:
    """float32 [D]: the mean of float32 [N, D], summed in 64 bits."""
    mean: Array = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


class SeenItems(tf.Module):
    """The items, int32 rows, that each user has acted on; an unknown user has none. `num_items` pads the answers."""

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


class ServedFoldIn(tf.Module):
    """`tfdvbpr.models.recommenders.fold_in` on the tables of the graph.

    `embeddings` is float32 [num_items, D] and, optionally, further columns; `quantize` is of a table that only the
    fold-in needs.
    """

    def __init__(self, run: Run, items: Ids, embeddings: EmbeddingTable, *, quantize: Quantize = "none") -> None:
        super().__init__()
        folding = run.folding
        factors, closed = folding.factors, folding.closed_items
        self.items, self.embeddings = items, embeddings
        self.mean_user = mean_embedding(run.factors.user_embeddings)
        self.closed = None
        if closed.shape[1] and closed is not factors.item_embeddings:
            self.closed = EmbeddingTable(closed, "closed_items", quantize=quantize)
        self.biases = tf.Variable(folding.fit_biases, trainable=False, name="folding_biases")
        self.action_weights = tf.Variable(folding.action_weights, trainable=False, name="action_weights")
        self._folding = folding
        self._dim = factors.item_embeddings.shape[1]
        fitted = closed.shape[1] < self._dim
        self._floats_a_liked = max(self._dim, len(folding.others) if fitted else 0)

    def __call__(self, liked_item_ids: Any) -> tuple[Any, dict[str, Any], Any]:
        """User embeddings from liked items.

        Args:
            liked_item_ids: string [B, n]; "" and unknown ones count for nothing, one named twice counts once.

        Returns:
            float32 [B, D], the mean user's where no liked item is known; `known_liked_items` bool [B, n] and
            `folded_in` bool [B]; and the rows, int32 [B, n], each once, filled up with `num_items`.
        """
        width = tf.shape(liked_item_ids)[1]
        sentence = f"`liked_item_ids` must have at most {MAX_LIKED_ITEMS} columns. Received {{}}."
        liked = require(width <= MAX_LIKED_ITEMS, sentence, width, then=lambda: tf.identity(liked_item_ids))
        rows, known = self.items.optional_rows(liked)
        rows = tf.sort(rows, axis=1)
        repeated = tf.pad(tf.equal(rows[:, 1:], rows[:, :-1]), [[0, 0], [1, 0]])[:, :width]
        rows = tf.sort(tf.where(repeated, self.items.count, rows), axis=1)
        is_liked = rows < self.items.count
        folded_in = tf.reduce_any(is_liked, axis=1)
        members = tf.where(folded_in)
        users = tf.repeat(self.mean_user[None, :], tf.shape(rows)[0], axis=0)
        # Columns that no row needs would only cost time.
        widest = tf.reduce_max(tf.concat([tf.reduce_sum(tf.cast(is_liked, tf.int32), axis=1), [0]], 0))
        folded = self._in_blocks(tf.gather_nd(rows, members)[:, :widest])
        users = tf.tensor_scatter_nd_update(users, members, folded)
        return users, {"known_liked_items": known, "folded_in": folded_in}, rows

    def _in_blocks(self, rows: Any) -> Any:
        """float32 [M, D] of int32 [M, n], so many rows at a time that memory stays bounded."""
        count, width = tf.shape(rows)[0], tf.shape(rows)[1]
        size = tf.maximum(_BLOCK_FLOATS // tf.maximum(width * self._floats_a_liked, 1), 1)

        def step(start: Any, done: Any) -> tuple[Any, Any]:
            return start + size, tf.concat([done, self._fold(rows[start : start + size])], 0)

        state = (tf.constant(0), tf.zeros((0, self._dim)))
        shapes = (tf.TensorShape([]), tf.TensorShape([None, self._dim]))
        return tf.while_loop(lambda start, _: start < count, step, state, shape_invariants=shapes)[1]

    def _fold(self, rows: Any) -> Any:
        is_liked = rows < self.items.count
        liked = tf.where(is_liked, rows, 0)
        embeddings = self.embeddings.gather(liked)[:, :, : self._dim]
        closed = embeddings if self.closed is None else self.closed.gather(liked)
        return self._folding.embed_items(
            LikedItems(
                rows=liked,
                is_liked=tf.cast(is_liked, tf.float32),
                embeddings=embeddings,
                closed=closed,
                biases=tf.gather(self.biases, liked),
                action_weights=tf.gather(self.action_weights, liked),
            )
        )


class ServedUsers(tf.Module):
    """θ, the part of a user embedding that meets Φ, by user id or by liked items."""

    def __init__(self, run: Run, items: Ids) -> None:
        super().__init__()
        self.users = UserEmbeddings(run.user_ids, run.visual_user_embeddings)
        self.folding = ServedFoldIn(run, items, EmbeddingTable(run.factors.item_embeddings, "items"))
        self._dim = run.config.embedding_dim

    def __call__(self, user_ids: Any, liked_item_ids: Any) -> tuple[Any, dict[str, Any]]:
        """θ float32 [B, D], with `known_users`, `known_liked_items` and `folded_in`.

        A known user keeps the own embedding, whatever liked items are named; any other gets the one folded in from the
        liked items, or the mean user's.
        """
        own, _, known_users = self.users.lookup(user_ids)
        folded, known, _ = self.folding(liked_item_ids)
        users = tf.where(known_users[:, None], own, folded[:, : self._dim])
        known["folded_in"] &= ~known_users
        return users, {"known_users": known_users, **known}
