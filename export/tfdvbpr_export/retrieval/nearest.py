"""The real items that a drawn picture looks most like, inside the graph. Imports TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.run import Run
from tfdvbpr_export.recommender.lookup import Ids
from tfdvbpr_export.recommender.table import Table
from tfdvbpr_export.retrieval.search import EVERY_CATEGORY, NOTHING, ExactSearch


class NearestItems(tf.Module):
    """Items of a category by their distance in Φ, as `tfdvbpr design --nearest-by taste` has it.

    The nearest by Euclid has the largest Φ(x)ᵀΦ_i - ½‖Φ_i‖², which is a dot product with one more column.

    Args:
        run: whose catalogue it is.
        count: items a picture.
    """

    def __init__(self, run: Run, *, count: int) -> None:
        super().__init__()
        looks, items = run.visual_item_embeddings, run.items
        halves = -0.5 * np.square(looks, dtype=np.float64).sum(axis=1, keepdims=True)
        self.ids, self.categories = Ids(items.item_ids), Ids(items.categories)
        self.looks = Table(np.hstack([looks, halves.astype(np.float32)]), "looks")
        self.search = ExactSearch(self.looks, items.category_ids, num_categories=len(items.categories))
        self.count = min(count, len(items))

    def __call__(self, embeddings: Any, categories: Any) -> Any:
        """Item ids, nearest first.

        Args:
            embeddings: float32 [B, D], Φ of pictures.
            categories: string [B]; one that the catalogue has not is every one.

        Returns:
            string [B, n]; "" past a category's last item.
        """
        category_ids, known = self.categories.rows(categories)
        queries = tf.pad(embeddings, [[0, 0], [0, 1]], constant_values=1.0)
        scores, rows = self.search(queries, tf.where(known, category_ids, EVERY_CATEGORY), tf.constant(self.count))
        return tf.gather(self.ids.names, tf.where(scores > NOTHING, rows, self.ids.count))
