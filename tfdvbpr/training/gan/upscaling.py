"""Training of the upscaler: as the generator of a GAN whose other half is photos that were reduced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.config.upscaler import UpscalerConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.models.gans.upscaler import SCALE, Upscaler
from tfdvbpr.run import GanRun
from tfdvbpr.training.gan.batches import LATENT_NOISE, PULLED
from tfdvbpr.training.gan.step import GanStep, Metrics
from tfdvbpr.training.gan.trainer import GanTrainer

_KEPT_CELL = 4  # pixels of the large image: details are free within it
_KEPT_SCALE = 4.0  # as of the pixels in `position_distances`
_BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0], np.float32) / 16.0  # σ = 1 px


@dataclass(frozen=True, kw_only=True)
class UpscalerStep(GanStep):
    """One step of D and of the upscaler U, the generator of the GAN.

    The odd rows are U(s(x), c) of photos x, which are pulled toward x; s halves the photo and blurs it by a random
    amount. The even rows are U(G(z, c), c) of the frozen small generator G. Beside the losses of `GanStep`, U descends
    `kept_weight` · 4 · mean |a₄(U(G(z, c), c)) - a₂(G(z, c))|, where aₙ averages n×n pixels.

    Attributes:
        small: G.
        softness: see `UpscalerConfig`.
        kept_weight: see there.
    """

    small: Any
    softness: float
    kept_weight: float

    def generator_inputs(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The small images, float32 [B/R, h, w, 3], and their categories."""
        photos, category_ids = to_float(batch["images"]), batch["category_ids"]
        small = reduced(photos, self.softness * uniform_amounts(batch["latents"]))
        if "other_ids" in batch:
            inputs = {"latents": batch["latents"][::2], "category_ids": category_ids[::2]}
            generated = tf.stop_gradient(self.small(inputs, training=False))
            small = tf.reshape(tf.stack([generated, small[PULLED]], axis=1), tf.shape(small))
        return {"images": small, "category_ids": category_ids}

    def further_loss(self, inputs: Mapping[str, Any], images: Any, count: Any, metrics: Metrics) -> Any:
        """See `GanStep.further_loss`."""
        difference = _averaged(images, _KEPT_CELL) - _averaged(inputs["images"], _KEPT_CELL // SCALE)
        metrics["kept"] = _KEPT_SCALE * tf.reduce_sum(tf.reduce_mean(tf.abs(difference), axis=(1, 2, 3))) / count
        return self.kept_weight * metrics["kept"]


class UpscalerTrainer(GanTrainer):
    """The upscaler of a GAN and its discriminator under a strategy.

    Args:
        dataset: photos of twice the size of the GAN's.
        config: sizes and hyper-parameters.
        strategy: of tf.distribute.
        gan_run: the GAN, whose generator is frozen.
    """

    def __init__(self, dataset: PreparedDataset, config: UpscalerConfig, strategy: Any, gan_run: GanRun) -> None:
        self._upscaler_config, self._gan_run = config, gan_run
        with strategy.scope():
            self._small = gan_run.generator
        super().__init__(dataset, config.as_gan(gan_run.config), strategy)

    def new_generator(self, image_size: tuple[int, int], num_categories: int) -> Any:
        """The upscaler."""
        height, width = (side // SCALE for side in image_size)
        channels = self._upscaler_config.base_channels
        return Upscaler((height, width), num_categories=num_categories, base_channels=channels)

    def new_step(self, **parts: Any) -> GanStep:
        """See `UpscalerStep`."""
        config = self._upscaler_config
        return UpscalerStep(**parts, small=self._small, softness=config.softness, kept_weight=config.kept_weight)

    def new_generate(self) -> Callable[[Mapping[str, Any]], Any]:
        """From latents and categories to large images."""

        def generate(inputs: Mapping[str, Any]) -> Any:
            images = self._small(inputs, training=False)
            return self.generator({"images": images, "category_ids": inputs["category_ids"]}, training=False)

        return generate


def uniform_amounts(latents: Any) -> Any:
    """float32 [B], uniform in [0, 1], of the latents of photos, float32 [B, L], which are used for nothing else.

    No photo has a latent here, so that they are noise around 0. Φ of a standard normal number is uniform.
    """
    return 0.5 * (1.0 + tf.math.erf(latents[:, 0] / (LATENT_NOISE * 2.0**0.5)))


def reduced(photos: Any, amounts: Any) -> Any:
    """Photos at half of their height and width, each mixed with its blurred copy (σ = 1 px) by an amount in [0, 1].

    Args:
        photos: float32 [B, H, W, 3].
        amounts: float32 [B].

    Returns:
        float32 [B, H/2, W/2, 3].
    """
    small = _averaged(photos, SCALE)
    kernel = tf.constant(np.tile(np.outer(_BINOMIAL, _BINOMIAL)[:, :, None, None], (1, 1, 3, 1)))
    padded = tf.pad(small, [[0, 0], [2, 2], [2, 2], [0, 0]], mode="SYMMETRIC")
    blurred = tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")
    return small + amounts[:, None, None, None] * (blurred - small)


def _averaged(images: Any, cell: int) -> Any:
    return tf.nn.avg_pool2d(images, cell, cell, "VALID")
