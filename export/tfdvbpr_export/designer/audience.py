"""Whom a served design is for: preferences scaled to a category, and moved toward items. Imports TensorFlow.

`tfdvbpr.designing.audience` in the graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.designing.audience import STRENGTH, AudienceEmbeddings
from tfdvbpr.run import Run
from tfdvbpr_export.options import MAX_LIKED_ITEMS
from tfdvbpr_export.requests import require
from tfdvbpr_export.retrieval.ranking import NearestItems

_LEAST_DEVIATION = 1e-6
_SHARE = STRENGTH / (1.0 + STRENGTH)


class CategoryScaling(tf.Module):
    """Scales preferences to standard deviations over the real items of a category, so that strengths are comparable.

    Over the items the mean of θᵀΦ is θᵀμ and its variance θᵀΣθ, so no item has to be read. A category of the generator
    with fewer than two items in the catalogue is scaled by all items.
    """

    def __init__(self, run: Run, categories: list[str]) -> None:
        super().__init__()
        means, covariances = [], []
        for category in categories:
            embeddings = run.visual_item_embeddings.astype(np.float64)
            if category in run.items.categories:
                own = run.items.category_ids == run.items.category_id(category)
                embeddings = embeddings[own] if own.sum() > 1 else embeddings
            means.append(embeddings.mean(axis=0))
            covariances.append(np.cov(embeddings, rowvar=False, bias=True).reshape(embeddings.shape[1], -1))
        self.means = tf.Variable(np.stack(means), dtype=tf.float32, trainable=False, name="category_means")
        self.covariances = tf.Variable(np.stack(covariances), dtype=tf.float32, trainable=False, name="covariances")

    def __call__(self, users: Any, category_ids: Any) -> AudienceEmbeddings:
        """Scaled user embeddings, float32 [B, D], for designs of categories, int32 [B]."""
        variances = tf.einsum("bd,bde,be->b", users, tf.gather(self.covariances, category_ids), users)
        scales = 1.0 / tf.maximum(tf.sqrt(tf.maximum(variances, 0.0)), _LEAST_DEVIATION)
        means = tf.reduce_sum(users * tf.gather(self.means, category_ids), axis=1)
        return AudienceEmbeddings.of_users(users * scales[:, None], -means * scales)


class ServedDirections(tf.Module):
    """`Audience.toward` with its default strength: from items to be less like to items to be more like.

    Args:
        run: whose items they are.
        nearest: holds Φ of the items.
        scaling: of preferences.
    """

    def __init__(self, run: Run, nearest: NearestItems, scaling: CategoryScaling) -> None:
        super().__init__()
        self.nearest, self.scaling = nearest, scaling
        mean = run.visual_item_embeddings.mean(axis=0)
        self.mean_item = tf.Variable(mean, dtype=tf.float32, trainable=False, name="mean_item_embedding")

    def __call__(
        self, users: Any, category_ids: Any, more_like: Any, less_like: Any, *, standardized: bool
    ) -> tuple[AudienceEmbeddings, dict[str, Any]]:
        """The audience of designs.

        Args:
            users: float32 [B, D], θ.
            category_ids: int32 [B].
            more_like: string [B, n]; "" and unknown ids count for nothing.
            less_like: string [B, m], likewise.
            standardized: whether preferences are in standard deviations where no item is named, too; else they are
                θᵀΦ there.

        Returns:
            The audience of B requests, `known_more_like_items` bool [B, n] and `known_less_like_items` bool [B, m].
        """
        more, any_more, known_more = self._mean_of("more_like_item_ids", more_like)
        less, any_less, known_less = self._mean_of("less_like_item_ids", less_like)
        moved = (any_more | any_less)[:, None]
        own = self.scaling(users, category_ids)
        toward = self.scaling(more - less, category_ids)
        plain = own if standardized else AudienceEmbeddings.of_users(users)
        audience = AudienceEmbeddings(
            tf.where(moved[:, :, None], (1.0 - _SHARE) * own.embeddings + _SHARE * toward.embeddings, plain.embeddings),
            tf.where(moved, (1.0 - _SHARE) * own.offsets + _SHARE * toward.offsets, plain.offsets),
        )
        return audience, {"known_more_like_items": known_more, "known_less_like_items": known_less}

    def _mean_of(self, name: str, item_ids: Any) -> tuple[Any, Any, Any]:
        """Mean Φ float32 [B, D] of known items, the catalogue's where a row has none; bool [B], whether it has some;
        and bool [B, n], whether each id is known."""
        width = tf.shape(item_ids)[1]
        sentence = f"`{name}` must have at most {MAX_LIKED_ITEMS} columns. Received {{}}."
        ids = require(width <= MAX_LIKED_ITEMS, sentence, width, then=lambda: tf.identity(item_ids))
        rows, known = self.nearest.ids.optional_rows(ids)
        counted = rows < self.nearest.ids.count
        places = tf.where(counted)
        number = tf.reduce_sum(tf.cast(counted, tf.float32), axis=1)
        # Summed where they stand in the table, for a request may name many items.
        sums = self.nearest.sums(tf.gather_nd(rows, places), places[:, 0], num_rows=tf.shape(ids)[0])
        means = sums / tf.maximum(number, 1.0)[:, None]
        return tf.where(number[:, None] > 0, means, self.mean_item), number > 0, known
