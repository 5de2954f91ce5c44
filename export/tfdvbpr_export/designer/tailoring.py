"""Tailoring inside the graph: a picture to its latent, and from there toward a taste. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.data.images.decoding import to_uint8
from tfdvbpr.designing.audience import AudienceEmbeddings
from tfdvbpr.designing.optimize.inversion import invert, tailor
from tfdvbpr.designing.tailor import Tailor
from tfdvbpr.run import Run

_LEAST_SPREAD = 1e-6


class Standards(tf.Module):
    """Brings tastes to standard deviations over the real items of a category, so that a strength means one thing.

    Over the items the mean of θᵀΦ is θᵀμ and its variance θᵀΣθ: no item has to be looked at again.

    Args:
        run: whose catalogue it is.
        categories: of the generator; one that the catalogue has not, or has once, is measured by all items.
    """

    def __init__(self, run: Run, categories: list[str]) -> None:
        super().__init__()
        means, spreads = [], []
        for category in categories:
            looks = run.visual_item_embeddings.astype(np.float64)
            if category in run.items.categories:
                own = run.items.category_ids == run.items.category_id(category)
                looks = looks[own] if own.sum() > 1 else looks
            means.append(looks.mean(axis=0))
            spreads.append(np.cov(looks, rowvar=False, bias=True).reshape(looks.shape[1], -1))
        self.means = tf.Variable(np.stack(means), dtype=tf.float32, trainable=False, name="category_means")
        self.spreads = tf.Variable(np.stack(spreads), dtype=tf.float32, trainable=False, name="category_spreads")

    def __call__(self, tastes: Any, category_ids: Any) -> AudienceEmbeddings:
        """Tastes of rows, float32 [B, D], for designs of categories, int32 [B]."""
        variances = tf.einsum("bd,bde,be->b", tastes, tf.gather(self.spreads, category_ids), tastes)
        scales = 1.0 / tf.maximum(tf.sqrt(tf.maximum(variances, 0.0)), _LEAST_SPREAD)
        means = tf.reduce_sum(tastes * tf.gather(self.means, category_ids), axis=1)
        return AudienceEmbeddings.of_users(tastes * scales[:, None], -means * scales)


class ServedTailor(tf.Module):
    """`tfdvbpr.designing.optimize.inversion` on rows of a request.

    Args:
        studio: the two runs, the options and what likeness is measured by.
    """

    def __init__(self, studio: Tailor) -> None:
        super().__init__()
        self.standards = Standards(studio.run, list(studio.gan_run.manifest.categories))
        self.perception_weights = studio.features.weights
        # Behind a function, so that saving does not look into it.
        self._studio: Callable[[], Tailor] = lambda: studio

    def __call__(
        self, images: Any, category_ids: Any, tastes: Any, strengths: Any, seeds: Any, steps: Any, weights: Any
    ) -> dict[str, Any]:
        """Pictures made to fit tastes.

        Args:
            images: float32 [B, H, W, 3] in [-1, 1], of the generator's size.
            category_ids: int32 [B].
            tastes: float32 [B, D].
            strengths: float32 [B] ≥ 0.
            seeds: int64 [B].
            steps: int32 [B], of the way toward the taste.
            weights: η, float32 [B].

        Returns:
            `images` and `inverted` uint8 [B, H, W, 3]; `preferences`, in standard deviations, `initial_preferences`,
            `realism_logits` and `distances` float32 [B]; `steps` int32 [B].
        """
        studio = self._studio()
        found = invert(
            studio.objective,
            studio.features,
            images,
            category_ids,
            seeds,
            options=studio.options,
            latent_dim=studio.gan_run.config.latent_dim,
        )
        moved = tailor(
            studio.objective,
            studio.features,
            found["latents"],
            found["typical"],
            self.standards(tastes, category_ids),
            category_ids,
            strengths,
            options=studio.options,
            num_steps=steps,
            realism_weight=weights,
        )
        names = ("images", "preferences", "initial_preferences", "realism_logits", "distances")
        return {
            **{name: moved[name] for name in names},
            "inverted": to_uint8(found["images"]),
            # Counted by what the loop has left behind, not by what was asked for.
            "steps": tf.minimum(steps, tf.shape(moved["history_preferences"])[1] - 1),
        }
