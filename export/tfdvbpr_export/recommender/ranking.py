"""From tastes to the best items: k, category and exclusions a row. Imports TensorFlow."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfdvbpr_export.recommender.lookup import Ids
from tfdvbpr_export.refusing import provided
from tfdvbpr_export.retrieval.indexes import Index
from tfdvbpr_export.retrieval.search import EVERY_CATEGORY, NOTHING, ExactSearch

DEFAULT_K = 10


class Ranking(tf.Module):
    """Ranks the catalogue for queries, each row by itself.

    More items are fetched than asked for, as many as a row leaves out, and those are then dropped: a catalogue of a
    million is searched without a mask. An index answers rows that ask for every category; the exact search the others,
    and those that need more than an approximate index has looked at.

    Args:
        items: the catalogue's ids.
        categories: its categories' names.
        search: exact.
        index: over the whole catalogue; None where the exact search has to do.
        max_k: the most items a row gets.
    """

    def __init__(self, items: Ids, categories: Ids, search: ExactSearch, index: Index | None, *, max_k: int) -> None:
        super().__init__()
        self.items, self.categories, self.search = items, categories, search
        self.index_layer = index.layer if index else None
        self._most = index.most if index else None
        self.max_k = min(max_k, items.count)

    def __call__(
        self, queries: Any, k: Any, categories: Any, excluded: Any, *, item_scales: Any = None, answered: Any = True
    ) -> dict[str, Any]:
        """The best items a row.

        Args:
            queries: float32 [B, D].
            k: int32 [B], 0 for the default.
            categories: string [B], "" for every one.
            excluded: int32 [B, E], rows of items to leave out, in any order, filled up with `num_items`.
            item_scales: float32 [num_items], by which scores are multiplied; an index knows none and is left aside.
            answered: bool [B]; False gives an empty row.

        Returns:
            `item_ids` string [B, K] and `scores` float32 [B, K], K the largest k; `counts` int32 [B];
            `known_categories` bool [B].
        """
        k = self._checked(k)
        every = tf.equal(categories, "")
        category_ids, known = self.categories.rows(categories)
        known |= every
        category_ids = tf.where(every | ~known, EVERY_CATEGORY, category_ids)
        excluded = tf.sort(excluded, axis=1)
        needed = k + tf.reduce_sum(tf.cast(excluded < self.items.count, tf.int32), axis=1)
        width = tf.minimum(tf.reduce_max(tf.concat([needed, [1]], 0)), self.items.count)
        if item_scales is not None or self.index_layer is None:
            scores, rows = self.search(queries, category_ids, width, item_scales=item_scales)
        else:
            scores, rows = self._by_index(queries, category_ids, needed, width)
        allowed = (known & answered)[:, None] & ~_among(rows, excluded)
        scores = tf.where(allowed, scores, NOTHING)
        return {**self._best(scores, rows, k), "known_categories": known}

    def _checked(self, k: Any) -> Any:
        sentence = "`k` must be 0 (for the default) or more in every row. Received {}."
        asked = provided(tf.reduce_all(k >= 0), sentence, k, then=lambda: tf.identity(k))
        return tf.minimum(tf.where(tf.equal(asked, 0), min(DEFAULT_K, self.max_k), asked), self.max_k)

    def _by_index(self, queries: Any, category_ids: Any, needed: Any, width: Any) -> tuple[Any, Any]:
        """The index where it can answer, the exact search elsewhere; each sees its own rows alone."""
        easy = category_ids < 0
        if self._most is not None:
            easy &= tf.minimum(needed, self.items.count) <= self._most
        parts, answers = [tf.where(easy)[:, 0], tf.where(~easy)[:, 0]], []
        for part, ask in zip(parts, (self._indexed, self._searched), strict=True):
            own = (tf.gather(queries, part), tf.gather(category_ids, part))
            nothing = (tf.zeros((0, width)), tf.zeros((0, width), tf.int32))
            answers.append(tf.cond(tf.size(part) > 0, lambda ask=ask, own=own: ask(*own, width), lambda n=nothing: n))
        places = [tf.cast(part, tf.int32) for part in parts]
        scores, rows = (tf.dynamic_stitch(places, list(values)) for values in zip(*answers, strict=True))
        shape = (tf.shape(queries)[0], width)
        return tf.reshape(scores, shape), tf.reshape(rows, shape)

    def _searched(self, queries: Any, category_ids: Any, width: Any) -> tuple[Any, Any]:
        return self.search(queries, category_ids, width)

    def _indexed(self, queries: Any, _: Any, width: Any) -> tuple[Any, Any]:
        most = width if self._most is None else tf.minimum(width, self._most)
        scores, rows = self.index_layer(queries, k=most)  # type: ignore[misc]
        # An approximate index may find fewer, which it fills up with NaN.
        scores = tf.where(tf.math.is_finite(scores), scores, NOTHING)
        rows = tf.clip_by_value(tf.cast(rows, tf.int32), 0, self.items.count - 1)
        empty = [[0, 0], [0, width - most]]
        return tf.pad(scores, empty, constant_values=NOTHING), tf.pad(rows, empty)

    def _best(self, scores: Any, rows: Any, k: Any) -> dict[str, Any]:
        most = tf.reduce_max(tf.concat([k, [0]], 0))
        scores, order = tf.math.top_k(scores, most)  # of equal scores the first stays first
        scores = tf.where(tf.range(most) < k[:, None], scores, NOTHING)
        rows = tf.where(scores > NOTHING, tf.gather(rows, order, batch_dims=1), self.items.count)
        return {
            "item_ids": tf.gather(self.items.names, rows),
            "scores": scores,
            "counts": tf.reduce_sum(tf.cast(scores > NOTHING, tf.int32), axis=1),
        }


def _among(rows: Any, sorted_rows: Any) -> Any:
    """bool [B, W]: which of int32 [B, W] stand in the same row of int32 [B, E]."""
    # One more column, so that there is always one to look at.
    ends = tf.pad(sorted_rows, [[0, 0], [0, 1]], constant_values=tf.int32.max)
    places = tf.searchsorted(ends, rows)
    return tf.equal(tf.gather(ends, places, batch_dims=1), rows)
