"""Exact search of the catalogue. Imports TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.models.recommenders.factors import Array, DistinctItems
from tfdvbpr_export.options import MAX_FILTERS
from tfdvbpr_export.retrieval.filters import ItemFilters
from tfdvbpr_export.retrieval.indexes import EmbeddingTable

NO_SCORE = -float("inf")
EVERY_CATEGORY = -1
_SETS = 1 << MAX_FILTERS
_BLOCK_SCORES = 1 << 21
_LEAST_ROWS, _MOST_CONVERTED_ROWS = 1 << 12, 1 << 15


class ExactSearch(tf.Module):
    """The best items by dot product, with what an index cannot do: a category a row, fewer bits, and cosines.

    Items are scored and ranked a block at a time, while its scores are in the cache. Of a category, its items alone are
    read, once for all rows of that category.

    Args:
        items: float32 [num_items, D] as a table.
        category_ids: int32 [num_items].
        num_categories: above every category id.
        cosine_dim: the first columns of the table, whose cosine a search can rank by.

    Attributes:
        equal_items: None where no two items have the same embedding.
    """

    def __init__(
        self,
        items: EmbeddingTable,
        category_ids: npt.NDArray[np.int32],
        *,
        num_categories: int,
        cosine_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.items = items
        order = np.argsort(category_ids, kind="stable").astype(np.int32)
        ends = np.cumsum(np.bincount(category_ids, minlength=num_categories), dtype=np.int32)
        self.by_category = tf.Variable(order, trainable=False, name="items_by_category")
        self.category_ends = tf.constant(ends)
        values = items.numpy()  # as they are stored, so that an item is exactly as long as the search finds it
        self.equal_items = EqualItems.of(values, category_ids, order, ends)
        if cosine_dim is not None:
            values = values[:, :cosine_dim]
            self.equal_by_cosine = EqualItems.of(values, category_ids, order, ends)
            lengths = np.linalg.norm(values, axis=1)[first_equal(values)]
            inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
            self.inverse_lengths = tf.Variable(inverse.astype(np.float32), trainable=False, name="inverse_lengths")

    def __call__(
        self,
        queries: Any,
        category_ids: Any,
        width: Any,
        *,
        cosine: bool = False,
        filters: ItemFilters | None = None,
        filter_sets: Any = None,
    ) -> tuple[Any, Any]:
        """The best items a row; of equal ones, the earlier in the catalogue.

        Args:
            queries: float32 [B, D]; for cosines of length 1, and 0 past `cosine_dim`.
            category_ids: int32 [B]; -1 for every category.
            width: int32 [], how many, at most `num_items`.
            cosine: rank by the cosine in the place of the dot product.
            filters: with `filter_sets`, int64 [B], see `ItemFilters`; items that do not pass are left out.

        Returns:
            Scores, float32 [B, width], -inf where no item is left, and rows, int32 [B, width].
        """
        keys = tf.cast(category_ids, tf.int64)
        if filters is not None:
            keys = keys * _SETS + filter_sets
        distinct, group = tf.unique(keys)

        def step(number: Any, best: Any, rows: Any) -> tuple[Any, Any, Any]:
            members = tf.where(tf.equal(group, number))  # [b, 1]
            category_id, mask = distinct[number], None
            if filters is not None:
                category_id, mask = category_id // _SETS, filters.mask(category_id % _SETS)
            own = tf.gather_nd(queries, members)
            found = self._search_one(own, tf.cast(category_id, tf.int32), width, cosine, mask)
            best = tf.tensor_scatter_nd_update(best, members, found[0])
            return number + 1, best, tf.tensor_scatter_nd_update(rows, members, found[1])

        return _best_of_steps(step, 0, tf.size(distinct), tf.shape(queries)[0], width)

    def _search_one(self, queries: Any, category_id: Any, width: Any, cosine: bool, mask: Any) -> tuple[Any, Any]:
        """The same for rows of one category and one set of filters; `mask` is bool [num_items] or None."""
        every = category_id < 0
        category_id = tf.maximum(category_id, 0)
        begin = tf.where(every | tf.equal(category_id, 0), 0, self.category_ends[tf.maximum(category_id - 1, 0)])
        end = tf.where(every, self.items.num_rows, self.category_ends[category_id])
        size = self._block_rows(tf.shape(queries)[0])
        equal = self.equal_by_cosine if cosine else self.equal_items
        # Without equal items, each block is scored when it is ranked.
        all_scores = None if equal is None else equal(self._scores(queries, every, begin, end, size), every, begin, end)

        def step(start: Any, best: Any, rows: Any) -> tuple[Any, Any, Any]:
            stop = tf.minimum(start + size, end)
            own = tf.cond(every, lambda: tf.range(start, stop), lambda: self.by_category[start:stop])
            if all_scores is None:
                scores = tf.matmul(queries, self._embeddings(every, start, stop), transpose_b=True)
            else:
                scores = tf.transpose(all_scores[start - begin : stop - begin])
            if cosine:
                scores *= tf.gather(self.inverse_lengths, own)
            if mask is not None:
                scores = tf.where(tf.gather(mask, own), scores, NO_SCORE)
            found, places = tf.math.top_k(scores, tf.minimum(width, stop - start))
            # Earlier blocks come first, so that of equal scores the earlier item stays first.
            best, order = tf.math.top_k(tf.concat([best, found], 1), width)
            rows = tf.gather(tf.concat([rows, tf.gather(own, places)], 1), order, batch_dims=1)
            return stop, best, rows

        return _best_of_steps(step, begin, end, tf.shape(queries)[0], width)

    def _scores(self, queries: Any, every: Any, begin: Any, end: Any, size: Any) -> Any:
        """float32 [n, B]: of all items, or of all of a category."""

        def step(start: Any, blocks: Any) -> tuple[Any, Any]:
            stop = tf.minimum(start + size, end)
            scores = tf.matmul(self._embeddings(every, start, stop), queries, transpose_b=True)
            return stop, blocks.write(blocks.size(), scores)

        blocks = tf.TensorArray(tf.float32, 0, dynamic_size=True, infer_shape=False, element_shape=(None, None))
        blocks = blocks.write(0, tf.zeros((0, tf.shape(queries)[0])))  # an empty category has no other
        return tf.while_loop(lambda start, _: start < end, step, (begin, blocks))[1].concat()

    def _embeddings(self, every: Any, start: Any, stop: Any) -> Any:
        return tf.cond(
            every,
            lambda: self.items.block(start, stop - start),
            lambda: self.items.gather(self.by_category[start:stop]),
        )

    def _block_rows(self, num_queries: Any) -> Any:
        rows = tf.maximum(_BLOCK_SCORES // tf.maximum(num_queries, 1), _LEAST_ROWS)
        return rows if self.items.is_float32 else tf.minimum(rows, _MOST_CONVERTED_ROWS)


class EqualItems(tf.Module):
    """Gives all items of one embedding the score of the first of them.

    Columns of one matrix product may differ in their last bits although the embeddings are equal, by the kernel. With
    this, equal items keep the order of the catalogue on every processor; the scores of all items are then in memory at
    once. `first_in_category` has items by category: the place, in its category, of the first equal item.
    """

    def __init__(self, first: npt.NDArray[np.int32], first_in_category: npt.NDArray[np.int32]) -> None:
        super().__init__()
        self.first = tf.Variable(first, trainable=False, name="first_equal")
        self.first_in_category = tf.Variable(first_in_category, trainable=False, name="first_equal_in_category")

    @classmethod
    def of(
        cls, embeddings: Array, category_ids: npt.NDArray[np.int32], by_category: Any, category_ends: Any
    ) -> EqualItems | None:
        """None where all embeddings, float32 [num_items, D], are different."""
        first = first_equal(embeddings)
        if (first == np.arange(len(first))).all():
            return None
        pairs = (category_ids.astype(np.int64) * len(first) + first)[by_category]
        _, places, pair = np.unique(pairs, return_index=True, return_inverse=True)
        starts = np.concatenate([[0], category_ends])[category_ids[by_category]]
        return cls(first, (places[pair] - starts).astype(np.int32))

    def __call__(self, scores: Any, every: Any, begin: Any, end: Any) -> Any:
        """float32 [n, B] of scores of the same shape: of all items or, from begin to end, of a category's."""
        first = tf.cond(every, self.first.read_value, lambda: self.first_in_category[begin:end])
        return tf.gather(scores, first)


def first_equal(embeddings: Array) -> npt.NDArray[np.int32]:
    """int32 [num_items]: for each item, the first one with the same embedding, float32 [num_items, D]."""
    distinct = DistinctItems.of(embeddings, np.zeros(len(embeddings), np.float32))
    return distinct.first[distinct.group_of]


def _best_of_steps(step: Any, begin: Any, end: Any, num_rows: Any, width: Any) -> tuple[Any, Any]:
    """Steps from `begin` to `end` with the best scores and rows so far, [num_rows, width] each; no score at first."""
    first = tf.fill([num_rows, width], NO_SCORE)
    state = (tf.convert_to_tensor(begin), first, tf.zeros_like(first, tf.int32))
    shapes = (tf.TensorShape([]), tf.TensorShape([None, None]), tf.TensorShape([None, None]))
    _, best, rows = tf.while_loop(lambda at, *_: at < end, step, state, shape_invariants=shapes)
    return best, rows
