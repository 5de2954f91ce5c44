"""Generator and discriminator in training: one step of both, the averaged generator, samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.config import GanConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.augmentation import augment
from tfdvbpr.data.images.decoding import to_float, to_uint8
from tfdvbpr.losses.adversarial import OBJECTIVES
from tfdvbpr.models.gans.latent_frame import fold_latents
from tfdvbpr.models.gans.logit_scale import LogitScale
from tfdvbpr.models.gans.networks import DISCRIMINATORS, GENERATORS, ProjectedDiscriminator
from tfdvbpr.models.gans.projected_discriminator import picture_logits
from tfdvbpr.run.gan_run import GanFacts, gan_shape
from tfdvbpr.training.gan.batches import PictureBatches
from tfdvbpr.training.gan.reconstruction import Reconstruction, distances, fresh, toward
from tfdvbpr.training.gan.variety import COLOURS, SHAPE, Variety
from tfdvbpr.training.optimizers.schedules import AveragingAdam

# However small the catalogue: with a momentum of 0.9 these leave less than a hundredth of the statistics they find.
_SETTLING_STEPS = 48
_ENCODER_BETA_1 = 0.9
_SAMPLES, _JUDGED, _BATCH = 8, 64, 64
_CALIBRATION_SEED, _SETTLING_SEED, _SAMPLES_SEED, _JUDGED_SEED, _FITTED_SEED = range(5)
_FITTED = 2048  # photos whose latents are looked for; sheets do it too, so not all of a large catalogue


class GanTrainer:
    """Generator, discriminator and their optimizers under a strategy.

    Args:
        dataset: what to train on.
        config: sizes and hyper-parameters.
        strategy: a tf.distribute strategy.

    Raises:
        ConfigError: as `PictureBatches`, or if weights of the trunk cannot be had.
        ValueError: if a side of the pictures is no multiple of 16.
    """

    def __init__(self, dataset: PreparedDataset, config: GanConfig, strategy: Any) -> None:
        self._config = config
        self._objective = OBJECTIVES[config.objective]
        self._weights = {
            "variety": -config.variety_weight,
            "shape_variety": -config.shape_variety_weight,
            "reconstruction": config.reconstruction_weight,
            "divergence": config.prior_weight,
        }
        self._num_replicas = strategy.num_replicas_in_sync
        self.batches = PictureBatches(dataset, config, num_replicas=self._num_replicas)
        self._mismatch = config.mismatch_weight if len(self.batches.categories.trained) > 1 else 0.0
        keras.utils.set_random_seed(config.seed)
        shape = gan_shape(config, dataset.manifest.image_size, len(dataset.manifest.categories))
        images, image_ids = self.batches.real_pictures(self._random(_CALIBRATION_SEED), most=16)
        self._variety = Variety(images, image_ids, shape.num_categories)
        with strategy.scope():
            self.generator = GENERATORS[config.generator](shape)
            self.discriminator = DISCRIMINATORS[config.discriminator](shape)
            if isinstance(self.discriminator, ProjectedDiscriminator):
                self.discriminator.calibrate(images)
            self.generator_optimizer = self._adam(config, config.learning_rate, average=config.average_decay)
            self.discriminator_optimizer = self._adam(config, config.discriminator_learning_rate)
            self.generator_optimizer.build(self.generator.trainable_variables)
            self.discriminator_optimizer.build(self.discriminator.trainable_variables)
            self._reconstruction = self._encoder_beside(config)
        self._drawing = [(self.generator, self.generator_optimizer)]
        if self._reconstruction is not None:
            self._drawing.append((self._reconstruction.encoder, self._reconstruction.optimizer))
        self._settle = tf.function(self._generate, autograph=False)
        self._draw = tf.function(self._generated, reduce_retracing=True, autograph=False)
        self._judge = tf.function(self._judged, reduce_retracing=True, autograph=False)

    def _encoder_beside(self, config: GanConfig) -> Reconstruction | None:
        if not config.reconstruction_weight:
            return None
        optimizer = self._adam(config, config.encoder_learning_rate, beta_1=_ENCODER_BETA_1)
        return Reconstruction(self.discriminator, config.latent_dim, optimizer)

    def _random(self, purpose: int) -> np.random.Generator:
        """Random numbers that are no step's: a step has three numbers, these have four."""
        return np.random.default_rng((self._config.seed, 0, 0, 1 + purpose))

    def _adam(self, config: GanConfig, rate: float, *, average: float = 0.0, beta_1: float | None = None) -> Any:
        steps = config.epochs * self.batches.steps_per_epoch
        schedule = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=config.final_learning_rate)
        return AveragingAdam(
            schedule,
            beta_1=config.beta_1 if beta_1 is None else beta_1,
            beta_2=config.beta_2,
            epsilon=config.adam_epsilon,
            use_ema=average > 0,
            ema_momentum=average or None,
        )

    @property
    def model(self) -> keras.Model:
        """The generator, which callbacks get as their model."""
        return self.generator

    def trackables(self) -> dict[str, Any]:
        """What a checkpoint has to hold; a frozen trunk has its weights from elsewhere."""
        projected = isinstance(self.discriminator, ProjectedDiscriminator)
        return {
            "generator": self.generator,
            "discriminator": self.discriminator.learnt if projected else self.discriminator,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
            **({} if self._reconstruction is None else self._reconstruction.trackables()),
        }

    def replica_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """One discriminator step, then one generator step against the new discriminator, on the same pictures.

        Returns:
            This replica's shares of means over the global batch: both losses, how often D is right about real and
            generated pictures, the category margin, D(x, c) less D(x, another c) of real pictures, and, where they have
            a weight, variety: how much two drawings of a category differ in colours and in shape (`Variety`);
            reconstruction and divergence: how far photos drawn again are from the photos, and KL(q ‖ p) in nats
            (`Reconstruction`).
        """
        count = tf.cast(tf.size(batch["category_ids"]) * self._num_replicas, tf.float32)
        images = to_float(batch["images"])
        real = self._see(images, batch, "real_draws", 0)
        with tf.GradientTape() as generator_tape:
            batch, divergence = self._asked(real, batch, count)
            pictures = self._generate(batch["latents"], batch["fake_ids"])
            fake = self._see(pictures, batch, "fake_draws", 1)
            with generator_tape.stop_recording():
                with tf.GradientTape() as tape:
                    real_places, fake_places, other_places = self._told_apart(
                        real, tf.nest.map_structure(tf.stop_gradient, fake), batch
                    )
                    losses = self._discriminator_losses(real_places, fake_places, other_places)
                    discriminator_loss = tf.reduce_sum(losses) / count
                _descend(tape, discriminator_loss, [(self.discriminator, self.discriminator_optimizer)])
            places = self._places(fake, batch["fake_ids"])
            generator_loss = tf.reduce_sum(_over_places(self._objective.generator_loss, places)) / count
            terms = self._terms((real, images), (fake, pictures), batch["fake_ids"], count) | divergence
            aim = generator_loss + sum(self._weights[name] * term for name, term in terms.items())
        _descend(generator_tape, aim, self._drawing)
        real_logits, fake_logits = picture_logits(real_places), picture_logits(fake_places)
        boundary = self._objective.boundary
        told = {
            "discriminator_loss": discriminator_loss,
            "generator_loss": generator_loss,
            "real_accuracy": tf.reduce_sum(tf.cast(real_logits > boundary, tf.float32)) / count,
            "fake_accuracy": tf.reduce_sum(tf.cast(fake_logits <= boundary, tf.float32)) / count,
            **terms,
        }
        if other_places is not None:
            told["category_margin"] = tf.reduce_sum(real_logits - picture_logits(other_places)) / count
        return told

    def _asked(self, real: list[Any], batch: Mapping[str, Any], count: Any) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """The batch with photos to draw again, and how far their latents are from the prior."""
        if self._reconstruction is None:
            return batch, {}
        batch, divergences = self._reconstruction.asked(real, batch)
        return batch, {"divergence": tf.reduce_sum(divergences) / (count / 2.0)}

    def _terms(
        self, photos: tuple[Any, Any], drawings: tuple[Any, Any], category_ids: Any, count: Any
    ) -> dict[str, Any]:
        """What has a weight beside the discriminator's judgement: shares of means over the global batch.

        Args:
            photos: what is seen of them, and they themselves.
            drawings: the same.
            category_ids: of the drawings.
            count: pictures of the global batch.
        """
        terms, pictures = {}, drawings[1]
        if self._reconstruction is not None:
            apart = distances([*photos[0], photos[1]], [*drawings[0], pictures])
            terms["reconstruction"] = tf.reduce_sum(apart) / (count / 2.0)
            pictures, category_ids, count = fresh(pictures), fresh(category_ids), count / 2.0
        if self._config.draws_pairs:
            shares = tf.reduce_sum(self._variety.shares(pictures, category_ids), axis=0) / (count / 2.0)
            terms |= {"variety": shares[COLOURS], "shape_variety": shares[SHAPE]}
        return terms

    def _generate(self, latents: Any, category_ids: Any) -> Any:
        return self.generator({"latents": latents, "category_ids": category_ids}, training=True)

    def _generated(self, latents: Any, category_ids: Any) -> Any:
        return self.generator({"latents": latents, "category_ids": category_ids}, training=False)

    def _judged(self, images: Any, category_ids: Any) -> Any:
        return self.discriminator({"images": images, "category_ids": category_ids}, training=False)

    def _see(self, images: Any, batch: Mapping[str, Any], draws: str, noise: int) -> Any:
        """What is judged of pictures: themselves, or a frozen trunk's maps of them, made once for both steps."""
        images = augment(images, batch[draws], self._config.augmentation)
        if self._config.instance_noise:
            images += self._config.instance_noise * tf.map_fn(
                lambda seed: tf.random.stateless_normal(images.shape[1:], seed),
                batch["noise_seeds"] + noise,
                fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32),
            )
        projected = isinstance(self.discriminator, ProjectedDiscriminator)
        return self.discriminator.see(images) if projected else images

    def _places(self, seen: Any, category_ids: Any) -> list[Any]:
        """A logit a place, float32 [B, P] a head; a discriminator with one logit has one head and one place."""
        if isinstance(self.discriminator, ProjectedDiscriminator):
            grasped = self.discriminator.grasp(seen, training=True)
            return self.discriminator.logits(grasped, category_ids, training=True)
        return [self.discriminator({"images": seen, "category_ids": category_ids}, training=True)[:, None]]

    def _told_apart(
        self, real: Any, fake: Any, batch: Mapping[str, Any]
    ) -> tuple[list[Any], list[Any], list[Any] | None]:
        """Logits of real pictures, of generated ones, and of real ones with a wrong category.

        Heads without batch statistics see all three in one pass.
        """
        own, other, drawn = batch["category_ids"], batch["other_ids"], batch["fake_ids"]
        if not isinstance(self.discriminator, ProjectedDiscriminator):
            return (
                self._places(real, own),
                self._places(fake, drawn),
                self._places(real, other) if self._mismatch else None,
            )
        both = self.discriminator.grasp(
            [tf.concat(maps, axis=0) for maps in zip(real, fake, strict=True)], training=True
        )
        size = tf.size(own)
        thrice = [tf.concat([maps, maps[:size]], axis=0) for maps in both]
        places = self.discriminator.logits(thrice, tf.concat([own, drawn, other], axis=0), training=True)
        parts = [tf.split(logits, 3, axis=0) for logits in places]
        first, second, third = (list(part) for part in zip(*parts, strict=True))
        return first, second, third

    def _discriminator_losses(self, real: list[Any], fake: list[Any], other: list[Any] | None) -> Any:
        loss = self._objective.discriminator_loss
        losses = _over_places(loss, real, fake)
        if other is None or not self._mismatch:
            return losses
        return (1.0 - self._mismatch) * losses + self._mismatch * _over_places(loss, real, other)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within, the generator is as it would be kept now, with batch statistics that fit; afterwards as it was."""
        kept = self.generator.get_weights()
        self._settle_down()
        try:
            yield
        finally:
            self.generator.set_weights(kept)

    def _settle_down(self) -> None:
        """Averaged weights, the fitted prior, and batch statistics of what the generator draws then."""
        if not self._config.average_decay and not self._config.fitted_prior:
            return
        if self._config.average_decay:
            self.generator_optimizer.finalize_variable_values(self.generator.trainable_variables)
        if self._reconstruction is not None and self._config.fitted_prior:
            images = self.batches.drawn_pictures(self._random(_FITTED_SEED), most=_FITTED)
            normal = self._reconstruction.latents_of([images[rows] for rows in _blocks(len(images))])
            fold_latents(self.generator, *toward(self._config.fitted_prior, *normal))
        generator = self._random(_SETTLING_SEED)
        for _ in range(_SETTLING_STEPS):
            latents, category_ids = self.batches.fake_inputs(generator)
            self._settle(tf.constant(latents), tf.constant(category_ids))

    def samples(self) -> npt.NDArray[np.uint8]:
        """The same latents each time, for each trained category: uint8 [C, 8, H, W, 3]."""
        latents = self._random(_SAMPLES_SEED).standard_normal((_SAMPLES, self._config.latent_dim), np.float32)
        rows = [
            to_uint8(self._draw(tf.constant(latents), tf.fill([_SAMPLES], tf.constant(category, tf.int32)))).numpy()
            for category in self.batches.categories.trained
        ]
        return np.stack(rows)

    def finish(self) -> GanFacts:
        """Leaves the generator as it is to be kept; tells how D judges real and generated pictures."""
        self._settle_down()
        plan = self.batches.categories
        if self._objective.on_lsgan_scale:
            return GanFacts.of(plan, LogitScale.identity(len(plan.names)))
        random = self._random(_JUDGED_SEED)
        images, real_ids = self.batches.real_pictures(random, most=_JUDGED)
        fake_ids = np.repeat(plan.trained, _JUDGED)
        latents = random.standard_normal((len(fake_ids), self._config.latent_dim), np.float32)
        real_logits, fake_logits = [], []
        for rows in _blocks(len(images)):
            real_logits.append(self._judge(tf.constant(images[rows]), tf.constant(real_ids[rows])).numpy())
        for rows in _blocks(len(fake_ids)):
            drawn = self._draw(tf.constant(latents[rows]), tf.constant(fake_ids[rows]))
            fake_logits.append(self._judge(drawn, tf.constant(fake_ids[rows])).numpy())
        scale = LogitScale.fitted(
            np.concatenate(real_logits), real_ids, np.concatenate(fake_logits), fake_ids, num_categories=len(plan.names)
        )
        return GanFacts.of(plan, scale)


def _blocks(count: int) -> list[slice]:
    return [slice(start, start + _BATCH) for start in range(0, count, _BATCH)]


def _over_places(loss: Callable[..., Any], *heads: list[Any]) -> Any:
    """float32 [B]: the mean over heads of the means over places of a loss of logits."""
    return picture_logits([loss(*logits) for logits in zip(*heads, strict=True)])


def _descend(tape: Any, loss: Any, learners: list[tuple[Any, Any]]) -> None:
    """One step of each model's optimizer."""
    variables = [model.trainable_variables for model, _ in learners]
    gradients = tape.gradient(loss, [[variable.value for variable in each] for each in variables])
    for (_, optimizer), slopes, each in zip(learners, gradients, variables, strict=True):
        optimizer.apply(slopes, each)
