"""Whose taste a design is for: a user's, or one folded in from liked items. Imports TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.run import Run
from tfdvbpr_export.recommender.folding import ServedFoldIn
from tfdvbpr_export.recommender.lookup import Ids, Tastes
from tfdvbpr_export.recommender.table import Table


class People(tf.Module):
    """θ, the part of a taste that meets Φ, by user id or by liked items.

    Args:
        run: of a model that learns from pixels.
        items: the catalogue's ids.
        max_liked: columns of liked items that are taken.
    """

    def __init__(self, run: Run, items: Ids, *, max_liked: int) -> None:
        super().__init__()
        factors = run.factors
        self.tastes = Tastes(run.user_ids, run.visual_user_embeddings)
        self.folding = ServedFoldIn(
            run.folding,
            items,
            Table(factors.item_embeddings, "items"),
            factors.user_embeddings.mean(axis=0, dtype=np.float64).astype(np.float32),
            quantize="none",
            max_liked=max_liked,
        )
        self._dim = run.config.embedding_dim

    def __call__(self, user_ids: Any, liked_item_ids: Any) -> tuple[Any, dict[str, Any]]:
        """θ float32 [B, D], with `known_users`, `known_liked_items` and `folded_in`.

        A known user has her own taste, whatever she is said to like; others the one folded in from what they like, or
        the mean taste.
        """
        own, _, known_users = self.tastes.lookup(user_ids)
        folded, known, _ = self.folding(liked_item_ids)
        tastes = tf.where(known_users[:, None], own, folded[:, : self._dim])
        known["folded_in"] &= ~known_users
        return tastes, {"known_users": known_users, **known}
