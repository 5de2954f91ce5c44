"""Exact search of the catalogue, block by block, among all items or those of a category. Imports TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr_export.recommender.table import Table

NOTHING = -float("inf")
EVERY_CATEGORY = -1
_BLOCK_SCORES = 1 << 21
_LEAST_ROWS, _MOST_CONVERTED_ROWS = 1 << 12, 1 << 15


class ExactSearch(tf.Module):
    """The best items by dot product, with what an index cannot do: a category a row, fewer bits, and a scale an item.

    Items are scored and searched a block at a time, while its scores are in the cache. A category's items alone are
    looked at, once for all rows that ask for it.

    Args:
        items: float32 [num_items, D] as a table.
        category_ids: int32 [num_items].
        num_categories: above every category id.
    """

    def __init__(self, items: Table, category_ids: npt.NDArray[np.int32], *, num_categories: int) -> None:
        super().__init__()
        self.items = items
        order = np.argsort(category_ids, kind="stable").astype(np.int32)
        ends = np.cumsum(np.bincount(category_ids, minlength=num_categories), dtype=np.int32)
        self.by_category = tf.Variable(order, trainable=False, name="items_by_category")
        self.category_ends = tf.constant(ends)

    def __call__(self, queries: Any, category_ids: Any, width: Any, *, item_scales: Any = None) -> tuple[Any, Any]:
        """The best items a row; of equal ones, the earlier in the catalogue.

        Args:
            queries: float32 [B, D].
            category_ids: int32 [B]; -1 for every category.
            width: int32 [], how many, at most `num_items`.
            item_scales: float32 [num_items], by which each item's score is multiplied.

        Returns:
            Scores, float32 [B, width], -inf where no item is left, and rows, int32 [B, width].
        """
        asked, group = tf.unique(category_ids)

        def step(number: Any, best: Any, rows: Any) -> tuple[Any, Any, Any]:
            members = tf.where(tf.equal(group, number))  # [b, 1]
            found = self._search_one(tf.gather_nd(queries, members), asked[number], width, item_scales)
            best = tf.tensor_scatter_nd_update(best, members, found[0])
            return number + 1, best, tf.tensor_scatter_nd_update(rows, members, found[1])

        return _loop(step, 0, tf.size(asked), tf.shape(queries)[0], width)

    def _search_one(self, queries: Any, category_id: Any, width: Any, item_scales: Any) -> tuple[Any, Any]:
        """The same for rows of one category."""
        every = category_id < 0
        place = tf.maximum(category_id, 0)
        begin = tf.where(every | tf.equal(place, 0), 0, self.category_ends[tf.maximum(place - 1, 0)])
        end = tf.where(every, self.items.num_rows, self.category_ends[place])
        size = self._block_rows(tf.shape(queries)[0])

        def step(start: Any, best: Any, rows: Any) -> tuple[Any, Any, Any]:
            stop = tf.minimum(start + size, end)
            own = tf.cond(every, lambda: tf.range(start, stop), lambda: self.by_category[start:stop])
            items = tf.cond(every, lambda: self.items.block(start, stop - start), lambda: self.items.gather(own))
            scores = tf.matmul(queries, items, transpose_b=True)
            if item_scales is not None:
                scores *= tf.gather(item_scales, own)
            found, places = tf.math.top_k(scores, tf.minimum(width, stop - start))
            # Earlier blocks stand first, so that of equal scores the earlier item stays first.
            best, order = tf.math.top_k(tf.concat([best, found], 1), width)
            rows = tf.gather(tf.concat([rows, tf.gather(own, places)], 1), order, batch_dims=1)
            return stop, best, rows

        return _loop(step, begin, end, tf.shape(queries)[0], width)

    def _block_rows(self, num_queries: Any) -> Any:
        rows = tf.maximum(_BLOCK_SCORES // tf.maximum(num_queries, 1), _LEAST_ROWS)
        return rows if self.items.is_whole else tf.minimum(rows, _MOST_CONVERTED_ROWS)


def _loop(step: Any, begin: Any, end: Any, num_rows: Any, width: Any) -> tuple[Any, Any]:
    """Steps from `begin` to `end` with the best scores and rows so far, [num_rows, width] each; nothing at first."""
    first = tf.fill([num_rows, width], NOTHING)
    state = (tf.convert_to_tensor(begin), first, tf.zeros_like(first, tf.int32))
    shapes = (tf.TensorShape([]), tf.TensorShape([None, None]), tf.TensorShape([None, None]))
    _, best, rows = tf.while_loop(lambda at, *_: at < end, step, state, shape_invariants=shapes)
    return best, rows
