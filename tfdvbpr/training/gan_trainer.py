"""Trains the category-conditional GAN on the pictures of a prepared dataset and writes its run folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tfdvbpr.config import GanConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.files import check_output, whole_directory
from tfdvbpr.run import DISCRIMINATOR_NAME, GENERATOR_NAME, GanRun, new_manifest, write_run_header
from tfdvbpr.run.gan_run import SAMPLES_FOLDER
from tfdvbpr.training.actions import History
from tfdvbpr.training.checkpoints import Checkpoints
from tfdvbpr.training.gan_checks import check_gan, gan_notes
from tfdvbpr.training.gan_networks import GanTrainer
from tfdvbpr.training.gan_sheets import DrawSheet, sample_sheets
from tfdvbpr.training.loop import Observer, StepReport, distributed_step, run_epochs
from tfdvbpr.training.strategy import least_over_workers, make_strategy, worker_number, write_once


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
    draw_sheet: DrawSheet | None = None,
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
        draw_sheet: makes a picture of rows of pictures and their titles; every `sample_every` epochs one of the same
            latents goes into the run's folder `samples`. Left out, none do.

    Raises:
        ConfigError: if a name is unknown, categories are too small, or weights of a trunk cannot be had.
        ValueError: if a side of the pictures is no multiple of 16.
        OutputExistsError: if `output` holds something already.
    """
    check_gan(config)
    check_output(output, overwrite=overwrite)
    began = time.perf_counter()
    strategy = strategy or make_strategy()
    trainer = GanTrainer(dataset, config, strategy)
    for line in gan_notes(config, dataset, trainer.batches.categories):
        told(line)
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
        actions=[remember, sample_sheets(trainer, config, checkpoints.folder, draw_sheet), checkpoints.save],
        observer=observer,
    )
    facts = trainer.finish()

    def write() -> None:
        with whole_directory(output, overwrite=overwrite) as folder:
            trainer.generator.save_weights(folder / GENERATOR_NAME)
            trainer.discriminator.save_weights(folder / DISCRIMINATOR_NAME)
            facts.write(folder)
            if (checkpoints.folder / SAMPLES_FOLDER).is_dir():
                shutil.copytree(checkpoints.folder / SAMPLES_FOLDER, folder / SAMPLES_FOLDER)
            seconds = seconds_before + time.perf_counter() - began
            manifest = new_manifest(dataset, kind="gan", model="conditional-gan", training_seconds=seconds)
            write_run_header(folder, manifest, config, history.table())

    write_once(strategy, output, write)
    checkpoints.remove()
    return GanRun.open(output)
