"""What a design is good for: preference, less a penalty for looking unreal."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfdvbpr.designing.audience import Tastes
from tfdvbpr.losses.adversarial import AdversarialObjective


class DesignObjective(tf.Module):
    """θᵀΦ(Δ G(z, c)) − η · penalty(D(G(z, c), c)), of flat rows; θ, Φ, G and D are frozen.

    Kang et al. 2017; the penalty is (D̂ − 1)², where D̂ is D for LSGAN and D brought to LSGAN's scale for others: 1 is
    what D calls real, 0 what it calls generated. Δ resizes G's pictures to Φ's input by nearest neighbour.

    Args:
        recommender: a DVBPR model (anything with `embed_images` and `image_size`).
        generator: from `build_generator`.
        discriminator: from `build_discriminator`.
        adversarial: whose `realism_penalty` is used.
        logit_scale: brings D's logits to LSGAN's scale (anything with `calibrated`); None leaves them.
        bounded: whether z is tanh of what is free; a generator that takes tanh itself needs it not.
    """

    def __init__(
        self,
        recommender: Any,
        generator: Any,
        discriminator: Any,
        *,
        adversarial: AdversarialObjective,
        logit_scale: Any = None,
        bounded: bool = False,
    ) -> None:
        super().__init__()
        self.recommender = recommender
        self.generator = generator
        self.discriminator = discriminator
        self.bounded = bounded
        self._logit_scale = logit_scale
        self._penalty = adversarial.realism_penalty

    def latents(self, free: Any) -> Any:
        """float32 [R, L]: what G takes, of what the ascent moves: tanh of it if bounded, itself if not."""
        return tf.tanh(free) if self.bounded else free

    def images(self, latents: Any, category_ids: Any) -> Any:
        """G(z, c) in inference mode: float32 [R, H, W, 3] in [-1, 1]."""
        return self.generator({"latents": latents, "category_ids": category_ids}, training=False)

    def embeddings(self, images: Any) -> Any:
        """float32 [R, D]: Φ(Δ x)."""
        height, width = self.recommender.image_size
        if tuple(images.shape[1:3]) != (height, width):
            images = tf.image.resize(images, (height, width), method="nearest")
        return self.recommender.embed_images(images, training=False)

    def preferences(self, images: Any, tastes: Any) -> Any:
        """float32 [R]: θᵀΦ(Δ x) of matching rows of `tastes`, float32 [R, D] or a `Tastes`."""
        tastes = tastes if isinstance(tastes, Tastes) else Tastes.of(tastes)
        return tastes.together(tastes.members(self.embeddings(images)))

    def realism_logits(self, images: Any, category_ids: Any) -> Any:
        """float32 [R]: D̂(x, c)."""
        logits = self.discriminator({"images": images, "category_ids": category_ids}, training=False)
        return logits if self._logit_scale is None else self._logit_scale.calibrated(logits, category_ids)

    def penalties(self, realism_logits: Any) -> Any:
        """float32 [R] ≥ 0: how far D is from calling the pictures real."""
        return self._penalty(realism_logits)

    def values(self, preferences: Any, realism_logits: Any, realism_weight: Any) -> Any:
        """float32 [R]: preferences − η · penalties, which the ascent maximises."""
        return preferences - realism_weight * self._penalty(realism_logits)


def norm_priors(free: Any) -> Any:
    """float32 [R]: ½‖z‖²/L, the negative log-density of N(0, I) a dimension, less a constant."""
    return 0.5 * tf.reduce_mean(tf.square(free), axis=1)
