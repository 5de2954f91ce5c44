"""Trains the category-conditional GAN on the pictures of a prepared dataset and writes its run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdvbpr.config import GanConfig
from tfdvbpr.data.batches import Batch, cut_into_parts, epoch_generator, step_generator
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images import apply_changes, draw_changes, to_float
from tfdvbpr.errors import ConfigError
from tfdvbpr.files import check_output, whole_directory
from tfdvbpr.losses.adversarial import OBJECTIVES
from tfdvbpr.models.discriminator import build_discriminator
from tfdvbpr.models.generator import build_generator
from tfdvbpr.run import DISCRIMINATOR_NAME, GENERATOR_NAME, GanRun, new_manifest, write_run_header
from tfdvbpr.training.actions import History
from tfdvbpr.training.checkpoints import Checkpoints
from tfdvbpr.training.loop import Observer, StepReport, distributed_step, run_epochs
from tfdvbpr.training.strategy import least_over_workers, make_strategy, worker_number, write_once

# However small the catalogue: with a momentum of 0.9 these leave less than a hundredth of the statistics they find.
_SETTLING_STEPS = 48


class PictureBatches:
    """Every picture of the catalogue once an epoch, with its category and fresh latents.

    Each part holds `item_ids` int32 [B/R], `images` uint8 [B/R, H, W, 3], `category_ids` int32 [B/R], `latents` float32
    [B/R, latent_dim] and `noise_seeds` int32 [B/R, 2].

    Args:
        dataset: whose pictures are drawn.
        config: batch size, latent length, flips, seed.
        num_replicas: parts of a global batch.
    """

    def __init__(self, dataset: PreparedDataset, config: GanConfig, *, num_replicas: int) -> None:
        self._dataset = dataset
        self._config = config
        self._num_replicas = num_replicas
        num_items = dataset.manifest.num_items
        self.global_batch_size = min(config.global_batch_size, num_items) // num_replicas * num_replicas
        if self.global_batch_size < num_replicas:
            raise ConfigError(
                f"`global_batch_size` must leave a picture a replica. Received {config.global_batch_size} with "
                f"{num_items} items and {num_replicas} replicas."
            )

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass over the pictures."""
        return self._dataset.manifest.num_items // self.global_batch_size

    @property
    def images_per_step(self) -> int:
        """Real pictures a step, over all replicas."""
        return self.global_batch_size

    def epoch(self, epoch: int, *, first_step: int = 0, replicas: Sequence[int] | None = None) -> Iterator[list[Batch]]:
        """The steps of one epoch from `first_step`, a part for each of `replicas` (of all, where left out)."""
        about, seed, size = self._dataset.manifest, self._config.seed, self.global_batch_size
        order = epoch_generator(seed, epoch).permutation(about.num_items).astype(np.int32)
        for step in range(first_step, self.steps_per_epoch):
            generator = step_generator(seed, epoch, step)
            items = order[step * size : (step + 1) * size]
            plan: dict[str, np.typing.NDArray[np.generic]] = {
                "item_ids": items,
                "changes": draw_changes(generator, size, flip=self._config.flip, max_shift=0),
                "category_ids": self._dataset.items.category_ids[items],
                "latents": generator.standard_normal((size, self._config.latent_dim)).astype(np.float32),
                "noise_seeds": generator.integers(0, 2**30, (size, 2), np.int32),
            }
            yield [self._with_images(part) for part in cut_into_parts(plan, self._num_replicas, replicas)]

    def _with_images(self, part: Batch) -> Batch:
        items, changes = (part[name].astype(np.int32, copy=False) for name in ("item_ids", "changes"))
        others = {name: array for name, array in part.items() if name != "changes"}
        return {**others, "images": apply_changes(self._dataset.images.read(items), changes, max_shift=0)}

    def fake_inputs(
        self, generator: np.random.Generator
    ) -> tuple[np.typing.NDArray[np.float32], np.typing.NDArray[np.int32]]:
        """A global batch of latents, float32 [B, latent_dim], and the catalogue's categories, int32 [B]."""
        latents = generator.standard_normal((self.global_batch_size, self._config.latent_dim), np.float32)
        return latents, generator.choice(self._dataset.items.category_ids, self.global_batch_size)


class GanTrainer:
    """Generator, discriminator and their optimizers under a strategy.

    Args:
        dataset: what to train on.
        config: sizes and hyper-parameters.
        strategy: a tf.distribute strategy.
    """

    def __init__(self, dataset: PreparedDataset, config: GanConfig, strategy: Any) -> None:
        about = dataset.manifest
        self._objective = OBJECTIVES[config.objective]
        self._instance_noise = config.instance_noise
        self._num_replicas = strategy.num_replicas_in_sync
        self.batches = PictureBatches(dataset, config, num_replicas=self._num_replicas)
        keras.utils.set_random_seed(config.seed)
        categories = len(about.categories)
        with strategy.scope():
            self.generator = build_generator(
                about.image_size,
                num_categories=categories,
                latent_dim=config.latent_dim,
                base_channels=config.base_channels,
                upsampling=config.upsampling,
            )
            self.discriminator = build_discriminator(
                about.image_size,
                num_categories=categories,
                base_channels=config.discriminator_channels,
                batch_spread=config.batch_spread,
            )
            self.generator_optimizer = self._adam(config, config.learning_rate, average=config.average_decay)
            self.discriminator_optimizer = self._adam(config, config.discriminator_learning_rate)
            self.generator_optimizer.build(self.generator.trainable_variables)
            self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def _adam(self, config: GanConfig, rate: float, *, average: float = 0.0) -> Any:
        steps = config.epochs * self.batches.steps_per_epoch
        schedule = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=config.final_learning_rate)
        return keras.optimizers.Adam(
            schedule, beta_1=config.beta_1, beta_2=config.beta_2, use_ema=average > 0, ema_momentum=average or None
        )

    def trackables(self) -> dict[str, Any]:
        """What a checkpoint has to hold."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    def replica_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """One discriminator step, then one generator step on the same pictures, on one replica's part.

        Returns:
            This replica's shares of both losses, means over the global batch.
        """
        count = tf.cast(tf.size(batch["category_ids"]) * self._num_replicas, tf.float32)
        category_ids, seed = batch["category_ids"], batch["noise_seeds"][0]
        with tf.GradientTape() as generator_tape:
            fake = self._generate(batch["latents"], category_ids)
            with generator_tape.stop_recording(), tf.GradientTape() as tape:
                real_logits = self._judge(to_float(batch["images"]), category_ids, seed)
                fake_logits = self._judge(tf.stop_gradient(fake), category_ids, seed + 1)
                discriminator_loss = tf.reduce_sum(self._objective.discriminator_loss(real_logits, fake_logits)) / count
            with generator_tape.stop_recording():
                _descend(tape, discriminator_loss, self.discriminator, self.discriminator_optimizer)
            logits = self._judge(fake, category_ids, seed + 2)
            generator_loss = tf.reduce_sum(self._objective.generator_loss(logits)) / count
        _descend(generator_tape, generator_loss, self.generator, self.generator_optimizer)
        return {"discriminator_loss": discriminator_loss, "generator_loss": generator_loss}

    def _generate(self, latents: Any, category_ids: Any) -> Any:
        return self.generator({"latents": latents, "category_ids": category_ids}, training=True)

    def _judge(self, images: Any, category_ids: Any, noise_seed: Any) -> Any:
        if self._instance_noise:
            images += self._instance_noise * tf.random.stateless_normal(tf.shape(images), noise_seed)
        return self.discriminator({"images": images, "category_ids": category_ids}, training=True)

    def finish(self, config: GanConfig) -> None:
        """Puts the averaged weights into the generator and settles its batch statistics on them."""
        if not config.average_decay:
            return
        self.generator_optimizer.finalize_variable_values(self.generator.trainable_variables)
        generator = np.random.default_rng((config.seed, config.epochs))
        generate = tf.function(self._generate, autograph=False)
        for _ in range(_SETTLING_STEPS):
            latents, category_ids = self.batches.fake_inputs(generator)
            generate(tf.constant(latents), tf.constant(category_ids))


def _descend(tape: Any, loss: Any, model: Any, optimizer: Any) -> None:
    variables = model.trainable_variables
    optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)


def train_gan(
    dataset: PreparedDataset,
    config: GanConfig,
    output: Path,
    *,
    observer: Observer | None = None,
    strategy: Any = None,
    overwrite: bool = False,
    restart: bool = False,
    told: Callable[[str], None] = lambda line: None,
) -> GanRun:
    """Trains a conditional GAN and writes its run folder; an interrupted training is taken up again.

    Args:
        dataset: what to train on.
        config: sizes, hyper-parameters, seed.
        output: the run folder to make; it appears whole or not at all.
        observer: told how training stands about twice a second.
        strategy: a tf.distribute strategy; left out, `make_strategy()`.
        overwrite: replace a run that is already there.
        restart: forget an interrupted training of the same output.
        told: takes lines for people.

    Raises:
        ConfigError: if the objective is unknown.
        ValueError: if a side of the pictures is no multiple of 16.
        OutputExistsError: if `output` holds something already.
    """
    if config.objective not in OBJECTIVES:
        raise ConfigError(f"`objective` must be one of {', '.join(OBJECTIVES)}. Received {config.objective!r}.")
    check_output(output, overwrite=overwrite)
    began = time.perf_counter()
    strategy = strategy or make_strategy()
    trainer = GanTrainer(dataset, config, strategy)
    checkpoints = Checkpoints(
        output,
        config,
        dataset.manifest.fingerprint,
        restart=restart,
        worker=worker_number(strategy),
        least=partial(least_over_workers, strategy),
    )
    seconds_before = checkpoints.restore(trainer.trackables())
    if checkpoints.first_epoch:
        told(f"Taking up an interrupted training after epoch {checkpoints.first_epoch} of {config.epochs}.")
    history = History.read(checkpoints.folder, first_epoch=checkpoints.first_epoch)

    def remember(report: StepReport) -> bool:
        history.add(report)
        history.write(checkpoints.folder)
        return False

    run_epochs(
        distributed_step(strategy, trainer.replica_step),
        trainer.batches,
        epochs=config.epochs,
        first_epoch=checkpoints.first_epoch,
        actions=[remember, checkpoints.save],
        observer=observer,
    )
    trainer.finish(config)

    def write() -> None:
        with whole_directory(output, overwrite=overwrite) as folder:
            trainer.generator.save_weights(folder / GENERATOR_NAME)
            trainer.discriminator.save_weights(folder / DISCRIMINATOR_NAME)
            seconds = seconds_before + time.perf_counter() - began
            manifest = new_manifest(dataset, kind="gan", model="conditional-gan", training_seconds=seconds)
            write_run_header(folder, manifest, config, history.table())

    write_once(strategy, output, write)
    checkpoints.remove()
    return GanRun.open(output)
