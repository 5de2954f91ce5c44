"""Trains a recommender on a prepared dataset and writes its run folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import polars as pl

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.config.base import TrainingIfExists
from tfdvbpr.data.batches.samplers import SAMPLERS
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.augmentation import check_augmentation
from tfdvbpr.data.interactions import Interactions
from tfdvbpr.errors import ConfigError, check_choice
from tfdvbpr.files import IfExists, check_output, whole_directory
from tfdvbpr.losses.ranking import RANKING_LOSSES
from tfdvbpr.models.backbones import BACKBONES
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.models.recommenders import RECOMMENDERS
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.models.weights import save_weights
from tfdvbpr.run import Run
from tfdvbpr.run.folder import WEIGHTS_NAME
from tfdvbpr.run.recommender_run import write_recommender_run
from tfdvbpr.training.distributed.strategy import broadcast_bytes, make_strategy, write_once
from tfdvbpr.training.engine.callbacks import BestWeights
from tfdvbpr.training.engine.session import Session
from tfdvbpr.training.engine.tensorboard import PROFILE_FOLDER, StepProfile, profile_steps, write_projector
from tfdvbpr.training.recommender.data import TrainingData
from tfdvbpr.training.recommender.step import RecommenderTrainer
from tfdvbpr.training.recommender.warm_start import carry_over, effective_config

_log = logging.getLogger(__name__)


def train_recommender(
    dataset: PreparedDataset,
    config: RecommenderConfig,
    output: Path,
    *,
    validate: Callable[[Factors, Interactions], Mapping[str, float]] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: Any = None,
    if_exists: TrainingIfExists = "error",
    tensorboard: Path | None = None,
    profile: Callable[[StepProfile], None] | None = None,
) -> Run:
    """Train a recommender, keep the weights with the best `stop_metric`, and write a run folder.

    After an interruption the same call continues from the last checkpoint, and ends with the same weights to the bit.

    Args:
        dataset: what to train on.
        config: model, hyper-parameters, seed; with `start_from`, training begins with the weights of that run, see
            `carry_over`, and is shortened by `effective_config`.
        output: the run folder to make; it appears whole or not at all.
        validate: metrics of factors on the dataset's interactions, among them `config.stop_metric`; called every
            `config.evaluate_every` epochs. Left out, or without a validation part, the last weights are kept.
        callbacks: see `run_epochs`; their logs also hold the validation metrics, as `validation_auc` and so on.
        strategy: a tf.distribute strategy; left out, `make_strategy()`.
        if_exists: see `TrainingFolder`.
        tensorboard: a folder for TensorBoard: scalars, and the items' embeddings with their images.
        profile: takes the time of each part of a step, before training; the run folder then holds a profile for
            TensorBoard.

    Raises:
        ConfigError: if a name in the configuration is unknown.
        OutputExistsError: if `output` holds something already.
        RunError: if a different training was interrupted at the same output, or none where one is to be resumed.
        FloatingPointError: if a loss or a weight is no longer finite.
        DiskFullError: if there is no room to write.
        Interrupted: after SIGINT or SIGTERM, once the checkpoint is written; a SystemExit with 130 or 143.
    """
    check_config(config)
    if config.start_from:
        before = Run.open(config.start_from)
        before.check_is_no_ensemble("Train each member again, and combine them again")
        if before.config.model != config.model:
            raise ConfigError(f"`start_from` must be a {config.model} run. {config.start_from} is another.")
    strategy = strategy or make_strategy()
    if not RECOMMENDERS[config.model].has_weights:
        return _train_closed_form(dataset, config, output, strategy, if_exists=if_exists)
    session = Session(
        output, config, dataset.manifest.fingerprint, strategy, if_exists=if_exists, tensorboard=tensorboard
    )
    if session.finished:
        return Run.open(output)
    with session:
        _log_image_size(config, dataset.manifest.image_size)
        data, shortened = TrainingData.from_dataset(dataset, config), effective_config(config)
        trainer = RecommenderTrainer(data, shortened, strategy)
        if config.start_from:
            _log.info("Retraining: %d of %d epochs.", shortened.epochs, config.epochs)
            names = {"user_ids": dataset.user_ids, "item_ids": dataset.items.item_ids}
            carry_over(Run.open(config.start_from), trainer.model, data, **names)
        if profile is not None:
            profile(profile_steps(trainer, strategy, session.folder and session.folder / PROFILE_FOLDER))
        validates = dataset.manifest.num_validation > 0
        metrics = (lambda factors: validate(factors, trainer.interactions)) if validate and validates else None
        best = BestWeights(trainer, metrics, shortened, session.folder, strategy)
        session.train(trainer, [best], callbacks, epochs=shortened.epochs)
        factors = best.restore_best()

        def write(seconds: float) -> None:
            with whole_directory(output, if_exists=session.if_exists) as folder:
                save_weights(trainer.model, folder / WEIGHTS_NAME)
                session.copy_into(folder, PROFILE_FOLDER)
                write_recommender_run(folder, dataset, config, factors, session.history(), seconds)

        session.write_run(write)
        if session.tensorboard is not None:
            labels = list(zip(dataset.items.item_ids, dataset.items.table["category"], strict=True))
            write_projector(session.tensorboard.folder, factors.item_embeddings, labels, dataset.images.read)
    return Run.open(output)


def _train_closed_form(
    dataset: PreparedDataset, config: RecommenderConfig, output: Path, strategy: Any, *, if_exists: TrainingIfExists
) -> Run:
    """Trains without steps, so that there is never an interrupted training; of several workers the chief alone does."""
    replaces: IfExists = "overwrite" if if_exists == "overwrite" else "error"

    def check() -> bytes:
        check_output(output, if_exists=replaces)
        return b""

    def write() -> None:
        began = time.perf_counter()
        with whole_directory(output, if_exists=replaces) as folder:
            data = TrainingData.from_dataset(dataset, config)
            factors = RECOMMENDERS[config.model].closed_form(config, data.interactions, data.features)
            seconds = time.perf_counter() - began
            write_recommender_run(folder, dataset, config, factors, pl.DataFrame({"epoch": []}), seconds)

    broadcast_bytes(strategy, check)
    write_once(strategy, output, write)
    return Run.open(output)


def check_config(config: RecommenderConfig) -> None:
    """Refuse unknown names and choices that do not go together.

    Raises:
        ConfigError: naming the field.
    """
    check_choice("model", config.model, RECOMMENDERS)
    check_choice("loss", config.loss, RANKING_LOSSES)
    check_choice("sampler", config.sampler, SAMPLERS)
    check_choice("backbone", config.backbone, BACKBONES)
    check_choice("features", config.features, FEATURE_EXTRACTORS)
    check_augmentation(config.augmentation)
    kind = RECOMMENDERS[config.model]
    kind.check_config(config)
    if config.reduction == "sum" and config.batching != "triplet":
        raise ConfigError(
            "`reduction` may be sum with triplet batching alone. Received shared-item. Set reduction=mean."
        )
    if config.precision != "float32" and not kind.uses_images:
        raise ConfigError(
            f"`precision` of {config.model}, which has no backbone, must be float32. Received {config.precision}."
        )


def _log_image_size(config: RecommenderConfig, image_size: tuple[int, int]) -> None:
    """Warn of images of another size than the backbone is meant for."""
    intended = getattr(BACKBONES[config.backbone], "intended_image_size", None)
    if RECOMMENDERS[config.model].uses_images and intended not in (None, image_size):
        _log.warning(
            "%s is meant for images of %dx%d. The dataset has %dx%d, which are used. To follow the paper, prepare it "
            "with --image-size %dx%d.",
            *(config.backbone, *intended, *image_size, *intended),
        )


__all__ = ["RecommenderTrainer", "train_recommender"]
