"""The objective of designing: preference, less a penalty for images that look unreal. And scores of finished images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.chunks import map_chunks
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.designing.audience import AudienceEmbeddings, check_learns_from_pixels
from tfdvbpr.designing.optimize.limits import PhotoLimits
from tfdvbpr.losses.adversarial import AdversarialObjective
from tfdvbpr.run import Run

_CHUNK = 256
Floats = npt.NDArray[np.float32]


class DesignObjective(tf.Module):
    """θᵀΦ(Δ G(z, c)) − η · penalty(D̂(G(z, c), c)) of flat rows; θ, Φ, G and D are frozen.

    Kang et al. 2017. The penalty is (D̂ − 1)², where D̂ is D for LSGAN and D rescaled to LSGAN's logits for others: 1 is
    what D calls real, 0 what it calls generated. Δ resizes G's images to Φ's input by nearest neighbour.

    Args:
        recommender: a DVBPR model (anything with `embed_images` and `image_size`).
        generator: from `build_generator`.
        discriminator: from `build_discriminator`.
        adversarial: whose `realism_penalty` is used.
        logit_scale: rescales D's logits to LSGAN's (anything with `calibrated`); None leaves them.
        limits: beyond which an ascent does not go; None for no limits.
    """

    def __init__(
        self,
        recommender: Any,
        generator: Any,
        discriminator: Any,
        *,
        adversarial: AdversarialObjective,
        logit_scale: Any = None,
        limits: PhotoLimits | None = None,
    ) -> None:
        super().__init__()
        self.recommender = recommender
        self.generator = generator
        self.discriminator = discriminator
        self._limits = limits
        self._logit_scale = logit_scale
        self._penalty = adversarial.realism_penalty

    def images(self, latents: Any, category_ids: Any) -> Any:
        """G(z, c) in inference mode: float32 [R, H, W, 3] in [-1, 1]."""
        return self.generator({"latents": latents, "category_ids": category_ids}, training=False)

    def embeddings(self, images: Any) -> Any:
        """float32 [R, D]: Φ(Δ x)."""
        height, width = self.recommender.image_size
        if tuple(images.shape[1:3]) != (height, width):
            images = tf.image.resize(images, (height, width), method="nearest")
        return self.recommender.embed_images(images, training=False)

    def preferences(self, images: Any, users: Any) -> Any:
        """float32 [R]: θᵀΦ(Δ x) of matching rows of `users`, float32 [R, D] or `AudienceEmbeddings`."""
        return as_audience(users).preferences(self.embeddings(images))

    def realism_logits(self, images: Any, category_ids: Any) -> Any:
        """float32 [R]: D̂(x, c)."""
        logits = self.discriminator({"images": images, "category_ids": category_ids}, training=False)
        return logits if self._logit_scale is None else self._logit_scale.calibrated(logits, category_ids)

    def within(self, images: Any, category_ids: Any) -> Any:
        """bool [R]: whether images are within the limits."""
        if self._limits is None:
            return tf.ones_like(category_ids, tf.bool)
        return self._limits.within(images, category_ids)

    def values(self, preferences: Any, realism_logits: Any, realism_weight: Any) -> Any:
        """float32 [R]: preferences − η · penalties, which the ascent maximises."""
        return preferences - realism_weight * self._penalty(realism_logits)


def as_audience(users: Any) -> AudienceEmbeddings:
    """`AudienceEmbeddings` as they are; float32 [B, D] as one user a row."""
    return users if isinstance(users, AudienceEmbeddings) else AudienceEmbeddings.of_users(users)


def embed_images(run: Run, images_uint8: npt.NDArray[np.uint8]) -> Floats:
    """Φ(Δ x) of images, uint8 [N, H, W, 3] of any size, resized to the run's by nearest neighbour: float32 [N, D].

    Raises:
        RunError: if the run does not learn from pixels.
    """
    check_learns_from_pixels(run)
    size = run.manifest.image_size
    if not len(images_uint8):
        return np.zeros((0, run.config.embedding_dim), np.float32)

    def embed(chunk: npt.NDArray[np.uint8]) -> Any:
        images = to_float(tf.constant(chunk))
        if tuple(images.shape[1:3]) != tuple(size):
            images = tf.image.resize(images, size, method="nearest")
        return run.recommender.embed_images(images, training=False)

    return map_chunks(embed, images_uint8, chunk_rows=_CHUNK)


def image_preferences(run: Run, images_uint8: npt.NDArray[np.uint8], users: Any) -> Floats:
    """θᵀΦ(Δ x): float32 [N].

    Args:
        users: of that run: float32 [N, D], one user an image, or `AudienceEmbeddings` of matching rows or of one row.

    Raises:
        RunError: if the run does not learn from pixels.
    """
    scores: Floats = as_audience(users).preferences(tf.constant(embed_images(run, images_uint8))).numpy()
    return scores
