"""Tailoring inside the graph: an image is inverted to a latent, which then moves toward a user. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfdvbpr.data.images.decoding import to_uint8
from tfdvbpr.designing.audience import AudienceEmbeddings
from tfdvbpr.designing.optimize.inversion import invert, tailor
from tfdvbpr.designing.optimize.kept import KEPT
from tfdvbpr.designing.tailor import Tailor
from tfdvbpr_export.requests import require


class ServedTailor(tf.Module):
    """`tfdvbpr.designing.optimize.inversion` on the rows of a request."""

    def __init__(self, tailor: Tailor) -> None:
        super().__init__()
        self.perceptual_weights = tailor.features.weights
        # Behind a function, so that saving does not track it.
        self._tailor: Callable[[], Tailor] = lambda: tailor

    def __call__(
        self,
        images: Any,
        category_ids: Any,
        users: AudienceEmbeddings,
        strengths: Any,
        keep: Any,
        seeds: Any,
        steps: Any,
        weights: Any,
    ) -> dict[str, Any]:
        """Images tailored to users.

        Args:
            images: float32 [B, H, W, 3] in [-1, 1], of the generator's size.
            category_ids: int32 [B].
            users: of B requests, with preferences in standard deviations.
            strengths: float32 [B] ≥ 0.
            keep: string [B, n], of `KEPT`, or "".
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
            users,
            category_ids,
            strengths,
            _kept(keep),
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


def _kept(names: Any) -> Any:
    """float32 [B, 2], columns as in `KEPT`, of string [B, n]; a name that is neither one of them nor "" is refused."""
    is_kept = tf.equal(names[:, :, None], tf.constant(KEPT))  # [B, n, 2]
    known = tf.reduce_all(tf.reduce_any(is_kept, axis=2) | tf.equal(names, ""))
    sentence = f'`keep` must be one of {", ".join(KEPT)}, or "" for nothing. Received {{}}.'
    kept = require(known, sentence, names, then=lambda: tf.reduce_any(is_kept, axis=1))
    return tf.cast(kept, tf.float32)
