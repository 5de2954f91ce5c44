"""One training step of a conditional GAN: the discriminator's losses and update, then the generator's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfdvbpr.config import GanConfig
from tfdvbpr.data.images.augmentation import augment
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.losses.adversarial import AdversarialObjective
from tfdvbpr.models.gans.discriminator import Discriminator, Features, PatchLogits, mean_logits
from tfdvbpr.models.gans.generators import Generator
from tfdvbpr.training.gan.batches import PULLED
from tfdvbpr.training.gan.pull import PULLS, pixel_distances

Metrics = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class GanStep:
    """One step of D, then one step of G against the new D, on the same images.

    With x real images of categories c, c' wrong categories, z ~ N(0, I), A the augmentation, f D's features, and m the
    `mismatch_weight`, D descends

        (1 - m) L_D(D(f(A x), c), D(f(A G(z, c)), c)) + m L_D(D(f(A x), c), D(f(A x), c')) + the objective's regulariser

    and G descends L_G(D(f(A G(z, c)), c)) + `pull_weight` · d(A x, A G(z_x, c)), where z_x is near the latent that
    `LatentPool` chose for the photo x and d is the distance `pull` of PULLS.

    Attributes:
        generator: G.
        discriminator: D.
        objective: L_D, L_G and a regulariser.
        config: `augmentation`, `mismatch_weight` and `pull_weight`; a weight of 0 computes nothing.
    """

    generator: Generator
    discriminator: Discriminator
    generator_optimizer: Any
    discriminator_optimizer: Any
    objective: AdversarialObjective
    config: GanConfig
    num_replicas: int

    def __call__(self, batch: Mapping[str, Any]) -> Metrics:
        """Updates both networks by one replica's part of a batch of `GanBatches`.

        Returns:
            This replica's terms of means over the global batch: both losses; `real_accuracy` and `fake_accuracy`, how
            often D is right; with `mismatch_weight`, `category_margin`, D(x, c) - D(x, c'); with `pull_weight`,
            `pull`, the mean distance.
        """
        count = tf.cast(tf.size(batch["category_ids"]) * self.num_replicas, tf.float32)
        if "other_ids" not in batch:
            return self._pull_alone(batch, count)
        real = self._features(to_float(batch["images"]), batch["real_draws"])
        with tf.GradientTape() as tape:
            inputs = self.generator_inputs(batch)
            images = self.generator(inputs, training=True)
            fake = self._features(images, batch["fake_draws"])
            with tape.stop_recording():
                metrics = self._update_discriminator(real, tf.nest.map_structure(tf.stop_gradient, fake), batch, count)
            logits = self.discriminator.logits(fake, batch["category_ids"], training=True)
            metrics["generator_loss"] = self._generator_loss(logits, real, batch["category_ids"], count)
            loss = self.config.adversarial_weight * metrics["generator_loss"]
            if self.config.pull_weight:
                distances = PULLS[self.config.pull](real, fake)[PULLED]
                metrics["pull"] = tf.reduce_sum(distances) / (count / 2.0)
                loss += self.config.pull_weight * metrics["pull"]
            loss += self.further_loss(inputs, images, count, metrics)
        _descend(tape, loss, self.generator, self.generator_optimizer)
        return metrics

    def generator_inputs(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """What G takes, from a part of a batch."""
        return {"latents": batch["latents"], "category_ids": batch["category_ids"]}

    def further_loss(self, inputs: Mapping[str, Any], images: Any, count: Any, metrics: Metrics) -> Any:
        """A term that is added to G's loss, of what G takes and makes; its metrics are added too."""
        return 0.0

    def _pull_alone(self, batch: Mapping[str, Any], count: Any) -> Metrics:
        real = to_float(batch["images"])
        with tf.GradientTape() as tape:
            images = self.generator(self.generator_inputs(batch), training=True)
            pull = tf.reduce_sum(pixel_distances(real, images)) / count
            loss = self.config.pull_weight * pull
        _descend(tape, loss, self.generator, self.generator_optimizer)
        return {"pull": pull}

    def _update_discriminator(self, real: Features, fake: Features, batch: Mapping[str, Any], count: Any) -> Metrics:
        category_ids, mismatch = batch["category_ids"], self.config.mismatch_weight
        other_ids = batch["other_ids"] if mismatch else None
        with tf.GradientTape() as tape:
            real_logits, fake_logits, other_logits = self.discriminator.training_logits(
                real, fake, category_ids, other_ids
            )
            losses = _per_image(self.objective.discriminator_loss, real_logits, fake_logits)
            if other_logits is not None:
                mismatched = _per_image(self.objective.discriminator_loss, real_logits, other_logits)
                losses = (1.0 - mismatch) * losses + mismatch * mismatched
            penalties = self.objective.regularizer(
                lambda: self._squared_gradients(real, category_ids), lambda: self._squared_gradients(fake, category_ids)
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
