"""What a design is good for: preference, less a penalty for looking unreal."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfdvbpr.losses.adversarial import AdversarialObjective


class DesignObjective(tf.Module):
    """θᵀΦ(Δ G(z, c)) − η · penalty(D(G(z, c), c)), of flat rows; θ, Φ, G and D are frozen.

    Kang et al. 2017; with LSGAN the penalty is (D − 1)². Δ resizes G's pictures to Φ's input by nearest neighbour.

    Args:
        recommender: a DVBPR model (anything with `embed_images` and `image_size`).
        generator: from `build_generator`.
        discriminator: from `build_discriminator`.
        adversarial: whose `realism_penalty` is used.
        realism_weight: η.
    """

    def __init__(
        self,
        recommender: Any,
        generator: Any,
        discriminator: Any,
        *,
        adversarial: AdversarialObjective,
        realism_weight: float,
    ) -> None:
        super().__init__()
        self.recommender = recommender
        self.generator = generator
        self.discriminator = discriminator
        self._penalty = adversarial.realism_penalty
        self._realism_weight = realism_weight

    def images(self, latents: Any, category_ids: Any) -> Any:
        """G(z, c) in inference mode: float32 [R, H, W, 3] in [-1, 1]."""
        return self.generator({"latents": latents, "category_ids": category_ids}, training=False)

    def preferences(self, images: Any, user_embeddings: Any) -> Any:
        """float32 [R]: θᵀΦ(Δ x) of matching rows."""
        height, width = self.recommender.image_size
        if tuple(images.shape[1:3]) != (height, width):
            images = tf.image.resize(images, (height, width), method="nearest")
        embeddings = self.recommender.embed_images(images, training=False)
        return tf.reduce_sum(user_embeddings * embeddings, axis=1)

    def realism_logits(self, images: Any, category_ids: Any) -> Any:
        """float32 [R]: D(x, c)."""
        return self.discriminator({"images": images, "category_ids": category_ids}, training=False)

    def values(self, preferences: Any, realism_logits: Any) -> Any:
        """float32 [R]: what the ascent maximises."""
        return preferences - self._realism_weight * self._penalty(realism_logits)
