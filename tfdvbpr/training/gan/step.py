"""One training step of a conditional GAN: the discriminator's losses and update, then the generator's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.config import GanConfig
from tfdvbpr.data.images.augmentation import augment
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.losses.adversarial import AdversarialObjective
from tfdvbpr.models.gans.discriminator import Discriminator, Features, PatchLogits, mean_logits
from tfdvbpr.models.gans.generators import Generator

Metrics = dict[str, Any]
Floats = npt.NDArray[np.float32]

_CELL = 4  # pixels a side, see `pair_differences`
_FLOOR = 0.01  # of `Variety.photo_differences`


class Variety:
    """Compares pairs of generated images with pairs of photos.

    Args:
        images: photos, float32 [M, H, W, 3] in [-1, 1].
        category_ids: theirs, int32 [M].
        num_categories: N.

    Attributes:
        photo_differences: the mean `pair_differences` of two photos of each category, float32 [N]. A category with one
            photo or none has the mean of the others; there is a floor of 0.01 for photos that are all the same.
    """

    def __init__(self, images: Floats, category_ids: npt.NDArray[np.int32], num_categories: int) -> None:
        found = np.full(num_categories, np.nan, np.float32)
        for category in np.unique(category_ids):
            photos = images[category_ids == category]
            if len(photos) > 1:
                pairs = np.stack([photos, np.roll(photos, 1, axis=0)], axis=1).reshape(-1, *photos.shape[1:])
                differences = pair_differences(tf.constant(pairs)).numpy()
                found[category] = sum(differences) / len(differences)  # one by one: a fixed order of additions
        known = np.isfinite(found)
        usual = found[known].mean(axis=0) if known.any() else np.float32(1.0)
        self.photo_differences = np.maximum(np.where(known, found, usual), np.float32(_FLOOR)).astype(np.float32)

    def __call__(self, images: Any, category_ids: Any) -> Any:
        """min(1, d/d_c) of every pair, float32 [B/2]: nothing is to gain where images differ as much as photos do.

        Args:
            images: generated, float32 [B, H, W, 3] in [-1, 1], every two of one category.
            category_ids: int32 [B].
        """
        return tf.minimum(pair_differences(images) / tf.gather(self.photo_differences, category_ids[::2]), 1.0)


def pair_differences(images: Any) -> Any:
    """The mean of |x - y| of every image at an even row and the next: float32 [B/2].

    x and y are means of cells of 4×4 pixels, so that neither noise nor a shift of a pixel counts.

    Args:
        images: float32 [B, H, W, 3] in [-1, 1].
    """
    cells = tf.nn.avg_pool2d(images, _CELL, _CELL, "VALID")
    return tf.reduce_mean(tf.abs(cells[::2] - cells[1::2]), axis=(1, 2, 3))


@dataclass(frozen=True, kw_only=True)
class GanStep:
    """One step of D, then one step of G against the new D, on the same images.

    With x real images of categories c, c' wrong categories, z ~ N(0, I), A the augmentation, f D's features, and m the
    `mismatch_weight`, D descends

        (1 - m) L_D(D(f(A x), c), D(f(A G(z, c)), c)) + m L_D(D(f(A x), c), D(f(A x), c')) + the objective's regulariser

    and G descends L_G(D(f(A G(z, c)), c)) - `variety_weight` · variety.

    Attributes:
        generator: G.
        discriminator: D.
        objective: L_D, L_G and a regulariser.
        variety: compares generated images with photos.
        config: `augmentation`, `mismatch_weight` and `variety_weight`; a weight of 0 computes nothing.
    """

    generator: Generator
    discriminator: Discriminator
    generator_optimizer: Any
    discriminator_optimizer: Any
    objective: AdversarialObjective
    variety: Variety
    config: GanConfig
    num_replicas: int

    def __call__(self, batch: Mapping[str, Any]) -> Metrics:
        """Updates both networks by one replica's part of a batch of `GanBatches`.

        Returns:
            This replica's terms of means over the global batch: both losses; `real_accuracy` and `fake_accuracy`, how
            often D is right; with `mismatch_weight`, `category_margin`, D(x, c) - D(x, c'); with `variety_weight`,
            `variety` in [0, 1].
        """
        count = tf.cast(tf.size(batch["category_ids"]) * self.num_replicas, tf.float32)
        real = self._features(to_float(batch["images"]), batch["real_draws"])
        with tf.GradientTape() as tape:
            images = self.generator({"latents": batch["latents"], "category_ids": batch["fake_ids"]}, training=True)
            fake = self._features(images, batch["fake_draws"])
            with tape.stop_recording():
                metrics = self._update_discriminator(real, tf.nest.map_structure(tf.stop_gradient, fake), batch, count)
            logits = self.discriminator.logits(fake, batch["fake_ids"], training=True)
            loss = metrics["generator_loss"] = self._generator_loss(logits, real, batch["category_ids"], count)
            if self.config.variety_weight:
                metrics["variety"] = tf.reduce_sum(self.variety(images, batch["fake_ids"])) / (count / 2.0)
                loss -= self.config.variety_weight * metrics["variety"]
        _descend(tape, loss, self.generator, self.generator_optimizer)
        return metrics

    def _update_discriminator(self, real: Features, fake: Features, batch: Mapping[str, Any], count: Any) -> Metrics:
        category_ids, fake_ids, mismatch = batch["category_ids"], batch["fake_ids"], self.config.mismatch_weight
        other_ids = batch["other_ids"] if mismatch else None
        with tf.GradientTape() as tape:
            real_logits, fake_logits, other_logits = self.discriminator.training_logits(
                real, fake, category_ids, fake_ids, other_ids
            )
            losses = _per_image(self.objective.discriminator_loss, real_logits, fake_logits)
            if other_logits is not None:
                mismatched = _per_image(self.objective.discriminator_loss, real_logits, other_logits)
                losses = (1.0 - mismatch) * losses + mismatch * mismatched
            penalties = self.objective.regularizer(
                lambda: self._squared_gradients(real, category_ids), lambda: self._squared_gradients(fake, fake_ids)
            )
            loss = tf.reduce_sum(losses if penalties is None else losses + penalties) / count
        _descend(tape, loss, self.discriminator, self.discriminator_optimizer)
        boundary, of_real, of_fake = self.objective.boundary, mean_logits(real_logits), mean_logits(fake_logits)
        metrics = {
            "discriminator_loss": loss,
            "real_accuracy": tf.reduce_sum(tf.cast(of_real > boundary, tf.float32)) / count,
            "fake_accuracy": tf.reduce_sum(tf.cast(of_fake <= boundary, tf.float32)) / count,
        }
        if other_logits is not None:
            metrics["category_margin"] = tf.reduce_sum(of_real - mean_logits(other_logits)) / count
        return metrics

    def _generator_loss(self, fake_logits: PatchLogits, real: Features, category_ids: Any, count: Any) -> Any:
        loss = self.objective.generator_loss
        if not self.objective.relativistic:
            return tf.reduce_sum(_per_image(loss, fake_logits)) / count
        real_logits = self.discriminator.logits(real, category_ids, training=True)
        return tf.reduce_sum(_per_image(loss, fake_logits, real_logits)) / count

    def _features(self, images: Any, random_numbers: Any) -> Features:
        return self.discriminator.features(augment(images, random_numbers, self.config.augmentation))

    def _squared_gradients(self, features: Features, category_ids: Any) -> Any:
        """‖∂D(x, c)/∂f(x)‖² of each image, float32 [B]; in inference mode, where no logit depends on other rows."""
        with tf.GradientTape() as tape:
            tape.watch(features)
            logits = tf.reduce_sum(mean_logits(self.discriminator.logits(features, category_ids)))
        gradients = tape.gradient(logits, features)
        return tf.add_n([tf.reduce_sum(tf.square(each), axis=(1, 2, 3)) for each in gradients])


def _per_image(loss: Callable[..., Any], *logits: PatchLogits) -> Any:
    """float32 [B]: the mean over heads of the means over patches of a loss of patch logits."""
    return mean_logits([loss(*heads) for heads in zip(*logits, strict=True)])


def _descend(tape: Any, loss: Any, model: Any, optimizer: Any) -> None:
    """One step of an optimizer along a tape's gradients."""
    variables = model.trainable_variables
    optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)
