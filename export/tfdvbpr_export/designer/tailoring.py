"""Tailoring inside the graph: an image is inverted to a latent, which then moves toward a user. Imports TensorFlow."""

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

_LEAST_DEVIATION = 1e-6


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


class ServedTailor(tf.Module):
    """`tfdvbpr.designing.optimize.inversion` on the rows of a request."""

    def __init__(self, tailor: Tailor) -> None:
        super().__init__()
        self.scaling = CategoryScaling(tailor.run, list(tailor.gan_run.manifest.categories))
        self.perceptual_weights = tailor.features.weights
        # Behind a function, so that saving does not track it.
        self._tailor: Callable[[], Tailor] = lambda: tailor

    def __call__(
        self, images: Any, category_ids: Any, users: Any, strengths: Any, seeds: Any, steps: Any, weights: Any
    ) -> dict[str, Any]:
        """Images tailored to users.

        Args:
            images: float32 [B, H, W, 3] in [-1, 1], of the generator's size.
            category_ids: int32 [B].
            users: float32 [B, D], θ.
            strengths: float32 [B] ≥ 0.
            seeds: int64 [B].
            steps: int32 [B], from the inverted image toward the user.
            weights: η, float32 [B].

        Returns:
            `images` and `inverted` uint8 [B, H, W, 3]; `preferences`, in standard deviations, `initial_preferences`,
            `realism_logits` and `distances` float32 [B]; `steps` int32 [B].
        """
        own = self._tailor()
        inverted = invert(
            own.objective,
            own.features,
            images,
            category_ids,
            seeds,
            options=own.options,
            latent_dim=own.gan_run.config.latent_dim,
        )
        tailored = tailor(
            own.objective,
            own.features,
            inverted["latents"],
            inverted["typical"],
            self.scaling(users, category_ids),
            category_ids,
            strengths,
            options=own.options,
            num_steps=steps,
            realism_weight=weights,
        )
        names = ("images", "preferences", "initial_preferences", "realism_logits", "distances")
        return {
            **{name: tailored[name] for name in names},
            "inverted": to_uint8(inverted["images"]),
            # Counted by the history that the loop has written, not by the request.
            "steps": tf.minimum(steps, tf.shape(tailored["history_preferences"])[1] - 1),
        }
