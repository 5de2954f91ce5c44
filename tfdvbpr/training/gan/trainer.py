"""Generator and discriminator in training: networks, optimizers, the averaged generator, samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.config import GanConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_uint8
from tfdvbpr.data.images.ghosts import photo_limits
from tfdvbpr.losses.adversarial import OBJECTIVES
from tfdvbpr.models.gans import build_discriminator, build_generator
from tfdvbpr.models.gans.logit_scale import LogitScale
from tfdvbpr.run.gan_run import GanFacts
from tfdvbpr.training.gan.batches import GanBatches
from tfdvbpr.training.gan.step import GanStep
from tfdvbpr.training.optimizers import AveragingAdam, PacedCosine

_BETA_2 = 0.99
# With a momentum of 0.9, 48 steps leave less than a hundredth of the batch statistics that were there before.
_RECALIBRATION_STEPS = 48
_SAMPLES, _SCALED_IMAGES, _LIMITING_IMAGES, _BATCH = 8, 64, 2000, 64
_CALIBRATION_SEED, _RECALIBRATION_SEED, _SAMPLES_SEED, _SCALE_SEED, _LIMITS_SEED = range(5)


class GanTrainer:
    """Generator, discriminator and their optimizers under a strategy.

    Attributes:
        batches: see `GanBatches`.
        generator: under training; `averaged` gives it the weights that the run keeps.
        discriminator: under training.
        replica_step: see `GanStep`.
        generate: the generator in inference mode, from {"latents", "category_ids"} to images, compiled.

    Raises:
        ConfigError: as `GanBatches`, or if weights of a pretrained backbone are unavailable.
        ValueError: if a side of the images is no multiple of 16.
    """

    def __init__(self, dataset: PreparedDataset, config: GanConfig, strategy: Any) -> None:
        self._config = config
        self._objective = OBJECTIVES[config.objective]()
        self.batches = GanBatches(dataset, config, num_replicas=strategy.num_replicas_in_sync)
        keras.utils.set_random_seed(config.seed)
        shape = (dataset.manifest.image_size, len(dataset.manifest.categories))
        images, _ = self.batches.real_images(self._random(_CALIBRATION_SEED), most=16)
        with strategy.scope():
            self.generator = self.new_generator(*shape)
            self.discriminator = build_discriminator(config, *shape)
            self.discriminator.calibrate(images)
            self._pace = keras.Variable([0.0, 0.0, 1.0], trainable=False, name="pace")
            self.generator_optimizer = self._adam(config.learning_rate, average=config.average_decay)
            self.discriminator_optimizer = self._adam(config.discriminator_learning_rate)
            self.generator_optimizer.build(self.generator.trainable_variables)
            self.discriminator_optimizer.build(self.discriminator.trainable_variables)
        several = len(self.batches.categories.trained) > 1  # or no category is wrong
        self.replica_step = self.new_step(
            generator=self.generator,
            discriminator=self.discriminator,
            generator_optimizer=self.generator_optimizer,
            discriminator_optimizer=self.discriminator_optimizer,
            objective=self._objective,
            config=config if several else config.model_copy(update={"mismatch_weight": 0.0}),
            num_replicas=strategy.num_replicas_in_sync,
        )
        latents = ("latents", (config.latent_dim,))
        self._recalibrate = _compiled(partial(self.generator, training=True), *latents)
        self.generate = _compiled(self.new_generate(), *latents)
        discriminator: Any = self.discriminator
        self._classify = _compiled(partial(discriminator, training=False), "images", (*shape[0], 3))

    def new_generator(self, image_size: tuple[int, int], num_categories: int) -> Any:
        """The network to train, with random weights."""
        return build_generator(self._config, image_size, num_categories)

    def new_step(self, **parts: Any) -> GanStep:
        """The step of a replica, from the fields of `GanStep`."""
        return GanStep(**parts)

    def new_generate(self) -> Callable[[Mapping[str, Any]], Any]:
        """What the attribute `generate` compiles."""
        return partial(self.generator, training=False)

    def _random(self, purpose: int) -> np.random.Generator:
        """A generator apart from those of the steps, whose seeds have three numbers and not four."""
        return np.random.default_rng((self._config.seed, 0, 0, 1 + purpose))

    def _adam(self, rate: float, *, average: float = 0.0) -> Any:
        config = self._config
        steps = self.batches.epochs * self.batches.steps_per_epoch
        return AveragingAdam(
            PacedCosine(rate, steps, alpha=config.final_learning_rate, pace=self._pace),
            beta_1=config.beta_1,
            beta_2=_BETA_2,
            epsilon=config.adam_epsilon,
            use_ema=average > 0,
            ema_momentum=average or None,
        )

    def replan(self, step: int, last: int) -> None:
        """Makes the step sizes fall so that they are at their end in the step `last`, from this step on."""
        begun, done, pace = self._pace.numpy()
        done += (step - begun) * pace
        planned = self.batches.epochs * self.batches.steps_per_epoch
        self._pace.assign([step, done, (planned - done) / max(last - step, 1)])

    @property
    def model(self) -> keras.Model:
        """The generator, which callbacks get as their model."""
        return self.generator

    def trackables(self) -> dict[str, Any]:
        """What a checkpoint holds; a frozen backbone has its weights from elsewhere."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator.own_weights,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
            "pace": [self._pace],
        }

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within, the generator has the weights that a run would keep now; afterwards its own again."""
        own = self.generator.get_weights()
        self._take_average()
        try:
            yield
        finally:
            self.generator.set_weights(own)

    def _take_average(self) -> None:
        """Averaged weights, and batch statistics recalibrated for them where there are some."""
        if not self._config.average_decay:
            return
        self.generator_optimizer.finalize_variable_values(self.generator.trainable_variables)
        if not self.generator.non_trainable_variables:
            return
        generator = self._random(_RECALIBRATION_SEED)
        for _ in range(_RECALIBRATION_STEPS):
            self._recalibrate(_inputs("latents", *self.batches.fake_inputs(generator)))

    def samples(self) -> npt.NDArray[np.uint8]:
        """Images of the same latents each time, for each trained category: uint8 [C, 8, H, W, 3]."""
        latents = self._random(_SAMPLES_SEED).standard_normal((_SAMPLES, self._config.latent_dim), np.float32)
        rows = [
            to_uint8(self.generate(_inputs("latents", latents, np.full(_SAMPLES, category, np.int32)))).numpy()
            for category in self.batches.categories.trained
        ]
        return np.stack(rows)

    def finish(self) -> GanFacts:
        """Gives the generator the weights that the run keeps; measures D's logits of real and generated images, and the
        photos' limits."""
        self._take_average()
        plan = self.batches.categories
        photos = self.batches.photos(self._random(_LIMITS_SEED), most=_LIMITING_IMAGES)
        limits = {number: photo_limits(some) for number, some in photos}
        if self._objective.on_lsgan_scale:
            return GanFacts.of(plan, LogitScale.identity(len(plan.names)), limits)
        random = self._random(_SCALE_SEED)
        images, real_ids = self.batches.real_images(random, most=_SCALED_IMAGES)
        fake_ids = np.repeat(plan.trained, _SCALED_IMAGES)
        latents = random.standard_normal((len(fake_ids), self._config.latent_dim), np.float32)
        generated = _in_blocks(self.generate, "latents", latents, fake_ids)
        real_logits = _in_blocks(self._classify, "images", images, real_ids)
        fake_logits = _in_blocks(self._classify, "images", generated, fake_ids)
        scale = LogitScale.fitted(real_logits, real_ids, fake_logits, fake_ids, num_categories=len(plan.names))
        return GanFacts.of(plan, scale, limits)


def _compiled(network: Callable[[Mapping[str, Any]], Any], name: str, shape: tuple[int, ...]) -> Any:
    """Traced once, for any number of rows of `name` and categories."""
    rows = tf.TensorSpec((None, *shape), tf.float32)
    inputs = {name: rows, "category_ids": tf.TensorSpec((None,), tf.int32)}
    return tf.function(lambda inputs: network(inputs), input_signature=[inputs], autograph=False)


def _inputs(name: str, values: Any, category_ids: npt.NDArray[np.int32]) -> dict[str, Any]:
    """What a network takes: latents or images, and categories."""
    return {name: tf.convert_to_tensor(values), "category_ids": tf.constant(category_ids)}


def _in_blocks(network: Any, name: str, values: npt.NDArray[np.float32], category_ids: npt.NDArray[np.int32]) -> Any:
    """A network's outputs for many rows."""
    blocks = [slice(start, start + _BATCH) for start in range(0, len(values), _BATCH)]
    return np.concatenate([network(_inputs(name, values[rows], category_ids[rows])).numpy() for rows in blocks])
