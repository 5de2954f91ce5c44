"""Trains the category-conditional GAN on the pictures of a prepared dataset and writes its run folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from tfdvbpr.config import GanConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.files import whole_directory
from tfdvbpr.run import DISCRIMINATOR_NAME, GENERATOR_NAME, GanRun, new_manifest, write_run_header
from tfdvbpr.run.gan_run import SAMPLES_FOLDER
from tfdvbpr.training.checkpoints.manager import TrainingIfExists
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.engine.session import Session
from tfdvbpr.training.gan.checks import check_gan, gan_notes
from tfdvbpr.training.gan.sheets import DrawSheet, SampleGrids
from tfdvbpr.training.gan.step import GanTrainer

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
    draw_sheet: DrawSheet | None = None,
) -> GanRun:
    """Trains a conditional GAN and writes its run folder; an interrupted training is taken up again.

    Args:
        dataset: what to train on.
        config: sizes, hyper-parameters, seed.
        output: the run folder to make; it appears whole or not at all.
        callbacks: see `run_epochs`.
        strategy: a tf.distribute strategy; left out, `make_strategy()`.
        if_exists: see `TrainingFolder`.
        tensorboard: a folder for TensorBoard: scalars, and a grid of samples every `sample_every` epochs.
        draw_sheet: makes a picture of rows of pictures and their titles; every `sample_every` epochs one of the same
            latents goes into the run's folder `samples`. Left out, none do.

    Raises:
        ConfigError: if a name is unknown, categories are too small, or weights of a trunk cannot be had.
        ValueError: if a side of the pictures is no multiple of 16.
        OutputExistsError: if `output` holds something already.
        RunError, FloatingPointError, DiskFullError, Interrupted: as `train_recommender`.
    """
    check_gan(config)
    strategy = strategy or make_strategy()
    session = Session(
        output, config, dataset.manifest.fingerprint, strategy, if_exists=if_exists, tensorboard=tensorboard
    )
    if session.finished:
        return GanRun.open(output)
    with session:
        trainer = GanTrainer(dataset, config, strategy)
        for line in gan_notes(config, dataset, trainer.batches.categories):
            _log.info(line)
        grids = SampleGrids(trainer, config, session.folder, draw_sheet, session.tensorboard)
        session.train(trainer, [grids], callbacks)
        facts = trainer.finish()

        def write(seconds: float) -> None:
            with whole_directory(output, if_exists=session.if_exists) as folder:
                trainer.generator.save_weights(folder / GENERATOR_NAME)
                trainer.discriminator.save_weights(folder / DISCRIMINATOR_NAME)
                facts.write(folder)
                session.copy_into(folder, SAMPLES_FOLDER)
                manifest = new_manifest(dataset, kind="gan", model="conditional-gan", training_seconds=seconds)
                write_run_header(folder, manifest, config, session.history())

        session.write_run(write)
    return GanRun.open(output)
