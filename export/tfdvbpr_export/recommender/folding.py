"""People without a history, folded in inside the graph from items they like. Imports TensorFlow."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfdvbpr.models.recommenders.fold_in import FoldIn, LikedItems
from tfdvbpr_export.options import Quantize
from tfdvbpr_export.recommender.lookup import Ids
from tfdvbpr_export.recommender.table import Table
from tfdvbpr_export.refusing import provided

_BLOCK_FLOATS = 1 << 22


class ServedFoldIn(tf.Module):
    """`tfdvbpr.models.recommenders.fold_in` on the tables of the graph.

    Args:
        folding: of the run.
        items: the catalogue's ids.
        embeddings: float32 [num_items, D] and, by choice, further columns.
        mean_taste: float32 [D], for people of whom nothing is known.
        quantize: of a table that folding alone needs.
        max_liked: columns of liked items that are taken.
    """

    def __init__(
        self,
        folding: FoldIn,
        items: Ids,
        embeddings: Table,
        mean_taste: Any,
        *,
        quantize: Quantize,
        max_liked: int,
    ) -> None:
        super().__init__()
        factors, closed = folding.factors, folding.closed_items
        self.items, self.embeddings, self.mean_taste = items, embeddings, mean_taste
        self.max_liked = max_liked
        self.closed = None
        if closed.shape[1] and closed is not factors.item_embeddings:
            self.closed = Table(closed, "closed_items", quantize=quantize)
        self.biases = tf.Variable(folding.fit_biases, trainable=False, name="folding_biases")
        self.action_weights = tf.Variable(folding.action_weights, trainable=False, name="action_weights")
        self._folding = folding
        self._dim = factors.item_embeddings.shape[1]
        fitted = closed.shape[1] < self._dim
        self._floats_a_liked = max(self._dim, len(folding.others) if fitted else 0)

    def __call__(self, liked_item_ids: Any) -> tuple[Any, dict[str, Any], Any]:
        """Tastes from liked items.

        Args:
            liked_item_ids: string [B, n]; "" and unknown ones count for nothing, one named twice counts once.

        Returns:
            float32 [B, D], the mean taste where nothing is known; `known_liked_items` bool [B, n] and `folded_in`
            bool [B]; and the rows, int32 [B, n], each once, filled up with `num_items`.
        """
        width = tf.shape(liked_item_ids)[1]
        sentence = f"`liked_item_ids` must have at most {self.max_liked} columns. Received {{}}."
        liked = provided(width <= self.max_liked, sentence, width, then=lambda: tf.identity(liked_item_ids))
        rows, known = self.items.optional_rows(liked)
        rows = tf.sort(rows, axis=1)
        repeated = tf.pad(tf.equal(rows[:, 1:], rows[:, :-1]), [[0, 0], [1, 0]])[:, :width]
        rows = tf.sort(tf.where(repeated, self.items.count, rows), axis=1)
        is_liked = rows < self.items.count
        some = tf.reduce_any(is_liked, axis=1)
        members = tf.where(some)
        tastes = tf.repeat(self.mean_taste[None, :], tf.shape(rows)[0], axis=0)
        # Columns that no row needs would only be computed with.
        widest = tf.reduce_max(tf.concat([tf.reduce_sum(tf.cast(is_liked, tf.int32), axis=1), [0]], 0))
        folded = self._in_blocks(tf.gather_nd(rows, members)[:, :widest])
        tastes = tf.tensor_scatter_nd_update(tastes, members, folded)
        return tastes, {"known_liked_items": known, "folded_in": some}, rows

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
        taken = tf.where(is_liked, rows, 0)
        embeddings = self.embeddings.gather(taken)[:, :, : self._dim]
        closed = embeddings if self.closed is None else self.closed.gather(taken)
        return self._folding.embed_items(
            LikedItems(
                rows=taken,
                is_liked=tf.cast(is_liked, tf.float32),
                embeddings=embeddings,
                closed=closed,
                biases=tf.gather(self.biases, taken),
                action_weights=tf.gather(self.action_weights, taken),
            )
        )
