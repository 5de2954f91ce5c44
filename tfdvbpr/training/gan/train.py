"""Trains the category-conditional GAN on the images of a prepared dataset and writes its run folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tfdvbpr.config import GanConfig
from tfdvbpr.config.base import TrainingIfExists
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.augmentation import check_augmentation
from tfdvbpr.errors import check_choice
from tfdvbpr.files import check_output, whole_directory
from tfdvbpr.losses.adversarial import OBJECTIVES
from tfdvbpr.models.gans import DISCRIMINATORS, GENERATORS
from tfdvbpr.models.weights import save_weights
from tfdvbpr.run import GanRun
from tfdvbpr.run.folder import DISCRIMINATOR_NAME, GENERATOR_NAME, new_manifest, write_run_header
from tfdvbpr.run.gan_run import SAMPLES_FOLDER
from tfdvbpr.training.checkpoints.manager import interrupted_config
from tfdvbpr.training.distributed.strategy import broadcast_bytes, make_strategy
from tfdvbpr.training.engine.callbacks import TrainingCallback
from tfdvbpr.training.engine.session import Session
from tfdvbpr.training.engine.tensorboard import TensorBoard
from tfdvbpr.training.gan.batches import CategoryPlan
from tfdvbpr.training.gan.budget import TimeBudget, budget_notes, step_seconds, steps_in
from tfdvbpr.training.gan.pool import LatentPool
from tfdvbpr.training.gan.trainer import GanTrainer

DrawGrid = Callable[[Sequence[Sequence[npt.NDArray[np.uint8]]], Sequence[str]], Any]

_GRIDS = 6
_log = logging.getLogger(__name__)


def train_gan(
    dataset: PreparedDataset,
    config: GanConfig,
    output: Path,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: Any = None,
    if_exists: TrainingIfExists = "error",
    tensorboard: Path | None = None,
    draw_grid: DrawGrid | None = None,
    minutes: float | None = None,
) -> GanRun:
    """Trains a conditional GAN and writes its run folder; an interrupted training is continued.

    Args:
        dataset: what to train on.
        config: sizes, hyper-parameters, seed.
        output: the run folder to make; it appears whole or not at all.
        callbacks: see `run_epochs`.
        strategy: a tf.distribute strategy; left out, `make_strategy()`.
        if_exists: see `TrainingFolder`.
        tensorboard: a folder for TensorBoard: scalars, and grids of samples.
        draw_grid: makes an image of rows of images and their titles; about six times a grid of the same latents is
            written into the run's folder `samples`. Left out, none is.
        minutes: sets `steps` to as many as take so long on this machine; an interrupted training keeps its own. Where
            the machine becomes slower, fewer are done, see `TimeBudget`.

    Raises:
        ConfigError: if a name is unknown, categories are too small, or pretrained weights are unavailable.
        ValueError: if a side of the images is no multiple of 16.
        OutputExistsError: if `output` holds something already.
        RunError, FloatingPointError, DiskFullError, Interrupted: as `train_recommender`.
    """
    check_gan(config)
    strategy = strategy or make_strategy()
    seconds_per_step = None
    if minutes is not None:
        config, seconds_per_step = _within(minutes, dataset, config, output, strategy, if_exists)
    session = Session(
        output, config, dataset.manifest.fingerprint, strategy, if_exists=if_exists, tensorboard=tensorboard
    )
    if session.finished:
        return GanRun.open(output)
    with session:
        trainer = GanTrainer(dataset, config, strategy)
        lines = gan_notes(config, dataset, trainer.batches.categories)
        for line in (*lines, *budget_notes(trainer.batches, seconds_per_step)):
            _log.info(line)
        grids = SampleGrids(trainer, session.folder, draw_grid, session.tensorboard)
        own: list[TrainingCallback] = [TimeBudget(minutes, trainer, strategy), grids]
        if config.pull_weight:
            own.append(
                LatentPool(dataset, trainer.batches, trainer.generate, trainer.discriminator.features, config, strategy)
            )
        session.train(trainer, own, callbacks, epochs=trainer.batches.epochs)
        facts = trainer.finish()

        def write(seconds: float) -> None:
            with whole_directory(output, if_exists=session.if_exists) as folder:
                save_weights(trainer.generator, folder / GENERATOR_NAME)
                save_weights(trainer.discriminator, folder / DISCRIMINATOR_NAME)
                facts.write(folder)
                session.copy_into(folder, SAMPLES_FOLDER)
                manifest = new_manifest(dataset, kind="gan", model="conditional-gan", training_seconds=seconds)
                write_run_header(folder, manifest, config, session.history())

        session.write_run(write)
    return GanRun.open(output)


def _within(
    minutes: float, dataset: PreparedDataset, config: GanConfig, output: Path, strategy: Any, if_exists: str
) -> tuple[GanConfig, float | None]:
    """The configuration with `steps`, and the seconds of each where they were measured; refuses what is there first."""

    def interrupted() -> bytes:
        kept = interrupted_config(output) if if_exists != "restart" else None
        if kept is None:
            check_output(output, if_exists="overwrite" if if_exists == "overwrite" else "error")
            return b""
        return str(kept.get("steps", 0)).encode()

    steps = broadcast_bytes(strategy, interrupted)
    if steps:
        return config.model_copy(update={"steps": int(steps)}), None
    _log.info("Measuring how long a step takes on this machine.")
    seconds_per_step = step_seconds(dataset, config, strategy)
    return config.model_copy(update={"steps": steps_in(minutes, seconds_per_step)}), seconds_per_step


class SampleGrids(TrainingCallback):
    """Writes samples of the averaged generator about six times in a training: `samples/epoch-001.png` and so on.

    Args:
        folder: where the folder `samples` is made; None for no files.
        draw_grid: makes an image of rows of images and their titles; None for no files.
    """

    def __init__(
        self,
        trainer: GanTrainer,
        folder: Path | None,
        draw_grid: DrawGrid | None,
        tensorboard: TensorBoard | None = None,
    ) -> None:
        super().__init__()
        self._trainer, self._tensorboard = trainer, tensorboard
        self._folder = None if folder is None else folder / SAMPLES_FOLDER
        self._draw_grid = None if folder is None else draw_grid

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes the samples if they are due: in the first epoch, and whenever a sixth of the epochs has passed."""
        done, epochs = epoch + 1, self.progress.epochs
        due = epoch == 0 or done * _GRIDS // epochs > epoch * _GRIDS // epochs
        if (self._draw_grid is None and self._tensorboard is None) or not due:
            return
        with self._trainer.averaged():
            rows = self._trainer.samples()
        if self._tensorboard is not None:
            self._tensorboard.images("samples", rows, step=self.progress.total_steps)
        if self._draw_grid is not None and self._folder is not None:
            plan = self._trainer.batches.categories
            titles = [plan.names[number] for number in plan.trained]
            self._folder.mkdir(exist_ok=True)
            self._draw_grid([list(row) for row in rows], titles).save(self._folder / f"epoch-{done:03}.png")


def check_gan(config: GanConfig) -> None:
    """Checks names, and that the weights which the discriminator needs are installed, before anything is built.

    Raises:
        ConfigError: naming the field, or what to install.
    """
    for field, value, known in (
        ("objective", config.objective, OBJECTIVES),
        ("generator", config.generator, GENERATORS),
        ("discriminator", config.discriminator, DISCRIMINATORS),
    ):
        check_choice(field, value, known)
    check_augmentation(config.augmentation)
    DISCRIMINATORS[config.discriminator].check_available()


def gan_notes(config: GanConfig, dataset: PreparedDataset, categories: CategoryPlan) -> Iterator[str]:
    """Lines about what is unusual, but no error."""
    intended, size = GENERATORS[config.generator].intended_image_size, dataset.manifest.image_size
    if intended is not None and tuple(intended) != tuple(size):
        (height, width), prepared = intended, f"{size[0]}x{size[1]}"
        yield (
            f"Warning: the generator {config.generator} is designed for images of {height}x{width}. The dataset has "
            f"{prepared}, which are used. Prepare it with --image-size {height}x{width} otherwise."
        )
    yield from categories.notes(config)
