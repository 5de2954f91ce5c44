"""Trains the upscaler of a GAN and writes a run folder of the GAN with it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from tfdvbpr.config import dump_yaml
from tfdvbpr.config.base import TrainingIfExists
from tfdvbpr.config.upscaler import UpscalerConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError
from tfdvbpr.files import sha256, whole_directory
from tfdvbpr.models.gans import DISCRIMINATORS
from tfdvbpr.models.gans.upscaler import SCALE
from tfdvbpr.models.weights import save_weights
from tfdvbpr.run import GanRun
from tfdvbpr.run.folder import GENERATOR_NAME, HISTORY_NAME, MANIFEST_NAME, UPSCALER_NAME
from tfdvbpr.run.gan_run import SAMPLES_FOLDER, UPSCALER_CONFIG_NAME, UPSCALING_FOLDER
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.engine.session import Session
from tfdvbpr.training.gan.train import DrawGrid, SampleGrids
from tfdvbpr.training.gan.upscaling import UpscalerTrainer

_log = logging.getLogger(__name__)


def train_upscaler(
    gan_run: GanRun,
    dataset: PreparedDataset,
    config: UpscalerConfig,
    output: Path,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: Any = None,
    if_exists: TrainingIfExists = "error",
    draw_grid: DrawGrid | None = None,
) -> GanRun:
    """Trains an upscaler and writes the GAN's run folder anew, with it; an interrupted training is continued.

    Args:
        gan_run: the GAN, whose generator stays as it is.
        dataset: the GAN's items at twice the size.
        config: sizes, hyper-parameters, seed.
        output: the run folder to make; it appears whole or not at all.
        callbacks: see `run_epochs`.
        strategy: a tf.distribute strategy; left out, `make_strategy()`.
        if_exists: see `TrainingFolder`.
        draw_grid: see `train_gan`.

    Raises:
        ConfigError: if the dataset has another size or other categories, or pretrained weights are unavailable.
        OutputExistsError: if `output` holds something already.
        RunError, FloatingPointError, DiskFullError, Interrupted: as `train_recommender`.
    """
    check_upscaling(gan_run, dataset)
    DISCRIMINATORS[gan_run.config.discriminator].check_available()
    strategy = strategy or make_strategy()
    trained_on = f"{dataset.manifest.fingerprint} {sha256(gan_run.path / GENERATOR_NAME)}"
    session = Session(output, config, trained_on, strategy, if_exists=if_exists)
    if session.finished:
        return GanRun.open(output)
    with session:
        trainer = UpscalerTrainer(dataset, config, strategy, gan_run)
        grids = SampleGrids(trainer, session.folder, draw_grid)
        session.train(trainer, [grids], callbacks, epochs=trainer.batches.epochs)

        def write(seconds: float) -> None:
            with whole_directory(output, if_exists=session.if_exists) as folder:
                shutil.copytree(gan_run.path, folder, dirs_exist_ok=True)
                about = folder / UPSCALING_FOLDER
                shutil.rmtree(about, ignore_errors=True)
                about.mkdir()
                with trainer.averaged():
                    save_weights(trainer.generator, folder / UPSCALER_NAME)
                session.copy_into(about, SAMPLES_FOLDER)
                session.history().write_csv(about / HISTORY_NAME)
                (about / UPSCALER_CONFIG_NAME).write_text(dump_yaml(config), encoding="utf-8")
                manifest = gan_run.manifest.model_copy(update={"upscaled_size": dataset.manifest.image_size})
                text = json.dumps(manifest.model_dump(mode="json"), indent=2)
                (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")

        session.write_run(write)
    return GanRun.open(output)


def check_upscaling(gan_run: GanRun, dataset: PreparedDataset) -> None:
    """Checks that a dataset has a GAN's categories at twice its size.

    Raises:
        ConfigError: if it has not.
    """
    height, width = gan_run.manifest.image_size
    wanted = (SCALE * height, SCALE * width)
    if tuple(dataset.manifest.image_size) != wanted:
        raise ConfigError(
            f"The dataset must have images of {wanted[0]}x{wanted[1]}, twice the GAN's. Those of {dataset.path} are "
            f"{dataset.manifest.image_size[0]}x{dataset.manifest.image_size[1]}. Prepare the same source with "
            f"--image-size {wanted[0]}x{wanted[1]}."
        )
    if dataset.manifest.categories != gan_run.manifest.categories:
        raise ConfigError(
            f"The dataset must have the GAN's categories. {dataset.path} has others. Prepare the source that the GAN "
            "was trained on."
        )
