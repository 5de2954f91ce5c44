"""The ranking of a request, and the nearest real items. Imports TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.run import Run
from tfdvbpr_export.requests import counts_or
from tfdvbpr_export.retrieval.filters import ItemFilters
from tfdvbpr_export.retrieval.indexes import EmbeddingTable, Ids, Index
from tfdvbpr_export.retrieval.search import EVERY_CATEGORY, NO_SCORE, ExactSearch

DEFAULT_K = 10


class Ranking(tf.Module):
    """Ranks the catalogue for queries, each row by itself: k, at most `max_k`, category and exclusions a row.

    A search returns as many items beyond k as a row excludes, and those are then dropped: a catalogue of a million is
    searched without a mask. An index answers rows of every category; the exact search the others, those with
    filters, and those that need more than an approximate index scores exactly.
    """

    def __init__(
        self,
        items: Ids,
        categories: Ids,
        search: ExactSearch,
        index: Index | None,
        *,
        max_k: int,
        filters: ItemFilters | None = None,
    ) -> None:
        super().__init__()
        self.filters = filters
        self.items, self.categories, self.search = items, categories, search
        self.index_layer = index.layer if index else None
        self._most = index.most if index else None
        self.max_k = min(max_k, items.count)

    def __call__(
        self,
        queries: Any,
        k: Any,
        categories: Any,
        excluded: Any,
        *,
        cosine: bool = False,
        answered: Any = True,
        filters: Any = None,
    ) -> dict[str, Any]:
        """The best items a row.

        Args:
            queries: float32 [B, D].
            k: int32 [B], 0 for the default.
            categories: string [B], "" for every one.
            excluded: int32 [B, E], rows of items to leave out, in any order, filled up with `num_items`.
            cosine: as of `ExactSearch`; an index is not used then.
            answered: bool [B]; False gives an empty row.
            filters: string [B, F], names of filters that items must pass; None for none.

        Returns:
            `item_ids` string [B, K] and `scores` float32 [B, K], K the largest k; `counts` int32 [B];
            `known_categories` bool [B]; and with `filters` `known_filters` bool [B, F].
        """
        k = counts_or("k", k, min(DEFAULT_K, self.max_k), self.max_k)
        every = tf.equal(categories, "")
        category_ids, known = self.categories.rows(categories)
        known |= every
        category_ids = tf.where(every | ~known, EVERY_CATEGORY, category_ids)
        excluded = tf.sort(excluded, axis=1)
        needed = k + tf.reduce_sum(tf.cast(excluded < self.items.count, tf.int32), axis=1)
        width = tf.minimum(tf.reduce_max(tf.concat([needed, [1]], 0)), self.items.count)
        flags, options, sets = {}, {}, None
        if filters is not None and self.filters is not None:
            sets, flags["known_filters"] = self.filters.sets(filters)
            answered &= tf.reduce_all(flags["known_filters"], axis=1)
            if self.filters.names is not None:
                options = {"filters": self.filters, "filter_sets": sets}
        if cosine or self.index_layer is None:
            scores, rows = self.search(queries, category_ids, width, cosine=cosine, **options)
        else:
            scores, rows = self._by_index(queries, category_ids, needed, width, options)
        allowed = (known & answered)[:, None] & ~_among(rows, excluded)
        scores = tf.where(allowed, scores, NO_SCORE)
        return {**self._best(scores, rows, k), "known_categories": known, **flags}

    def _by_index(
        self, queries: Any, category_ids: Any, needed: Any, width: Any, options: dict[str, Any]
    ) -> tuple[Any, Any]:
        """The index for the rows that it can answer, the exact search for the others; each gets its own rows alone."""
        by_index = category_ids < 0
        if self._most is not None:
            by_index &= tf.minimum(needed, self.items.count) <= self._most
        sets = options.get("filter_sets")
        if sets is not None:
            by_index &= tf.equal(sets, 0)
        parts, found = [tf.where(by_index)[:, 0], tf.where(~by_index)[:, 0]], []

        def exact(queries: Any, category_ids: Any, width: Any) -> tuple[Any, Any]:
            own = {} if sets is None else {**options, "filter_sets": tf.gather(sets, parts[1])}
            return self.search(queries, category_ids, width, **own)

        for part, search in zip(parts, (self._indexed, exact), strict=True):
            own = (tf.gather(queries, part), tf.gather(category_ids, part))
            empty = (tf.zeros((0, width)), tf.zeros((0, width), tf.int32))
            found.append(
                tf.cond(tf.size(part) > 0, lambda search=search, own=own: search(*own, width), lambda e=empty: e)
            )
        places = [tf.cast(part, tf.int32) for part in parts]
        scores, rows = (tf.dynamic_stitch(places, list(values)) for values in zip(*found, strict=True))
        shape = (tf.shape(queries)[0], width)
        return tf.reshape(scores, shape), tf.reshape(rows, shape)

    def _indexed(self, queries: Any, _: Any, width: Any) -> tuple[Any, Any]:
        most = width if self._most is None else tf.minimum(width, self._most)
        scores, rows = self.index_layer(queries, k=most)  # type: ignore[misc]
        if self._most is not None:  # an approximate index gives equal scores in any order
            order = tf.argsort(rows, axis=1, stable=True)
            scores, rows = tf.gather(scores, order, batch_dims=1), tf.gather(rows, order, batch_dims=1)
        # An approximate index may find fewer, which it fills up with NaN.
        scores = tf.where(tf.math.is_finite(scores), scores, NO_SCORE)
        rows = tf.clip_by_value(tf.cast(rows, tf.int32), 0, self.items.count - 1)
        padding = [[0, 0], [0, width - most]]
        return tf.pad(scores, padding, constant_values=NO_SCORE), tf.pad(rows, padding)

    def _best(self, scores: Any, rows: Any, k: Any) -> dict[str, Any]:
        most = tf.reduce_max(tf.concat([k, [0]], 0))
        scores, order = tf.math.top_k(scores, most)  # of equal scores the first stays first
        scores = tf.where(tf.range(most) < k[:, None], scores, NO_SCORE)
        rows = tf.where(scores > NO_SCORE, tf.gather(rows, order, batch_dims=1), self.items.count)
        return {
            "item_ids": tf.gather(self.items.names, rows),
            "scores": scores,
            "counts": tf.reduce_sum(tf.cast(scores > NO_SCORE, tf.int32), axis=1),
        }


def _among(rows: Any, sorted_rows: Any) -> Any:
    """bool [B, W]: which of int32 [B, W] are in the same row of int32 [B, E]."""
    # One more column, so that there is always one to compare with.
    ends = tf.pad(sorted_rows, [[0, 0], [0, 1]], constant_values=tf.int32.max)
    places = tf.searchsorted(ends, rows)
    return tf.equal(tf.gather(ends, places, batch_dims=1), rows)


class NearestItems(tf.Module):
    """`count` items of a category by their Euclidean distance in Φ.

    The nearest has the largest Φ(x)ᵀΦ_i - ½‖Φ_i‖², which is a dot product with one more column.
    """

    def __init__(self, run: Run, *, count: int) -> None:
        super().__init__()
        embeddings, items = run.visual_item_embeddings, run.items
        self.ids, self.categories = Ids(items.item_ids), Ids(items.categories)
        halves = -0.5 * np.square(embeddings, dtype=np.float64).sum(axis=1, keepdims=True)
        table = EmbeddingTable(np.hstack([embeddings, halves.astype(np.float32)]), "item_embeddings")
        self.table = table
        self.search = ExactSearch(table, items.category_ids, num_categories=len(items.categories))
        self.count = min(count, len(items))

    def sums(self, items: Any, rows: Any, *, num_rows: Any) -> Any:
        """float32 [num_rows, D]: sums of Φ of items, int32 [n], by the row each belongs to, ascending int64 [n]."""
        table = tf.convert_to_tensor(self.table.values)
        return tf.sparse.segment_sum(table, items, rows, num_segments=num_rows)[:, :-1]

    def __call__(self, embeddings: Any, categories: Any) -> Any:
        """string [B, n], item ids nearest to Φ of images, float32 [B, D]; "" past a category's last item.

        A category, string [B], that the catalogue does not have stands for every one.
        """
        category_ids, known = self.categories.rows(categories)
        queries = tf.pad(embeddings, [[0, 0], [0, 1]], constant_values=1.0)
        scores, rows = self.search(queries, tf.where(known, category_ids, EVERY_CATEGORY), tf.constant(self.count))
        return tf.gather(self.ids.names, tf.where(scores > NO_SCORE, rows, self.ids.count))
