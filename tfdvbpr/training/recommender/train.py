"""Trains a recommender on a prepared dataset and writes its run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.files import check_output, whole_directory
from tfdvbpr.models.features.catalogue import catalogue_features
from tfdvbpr.models.recommenders import RECOMMENDERS
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.run import (
    WEIGHTS_NAME,
    Run,
    new_manifest,
    write_recommender_tables,
    write_run_header,
)
from tfdvbpr.training.checkpoints.state import variables
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.engine.actions import History, KeepBest
from tfdvbpr.training.engine.loop import Around, Observer, StepReport
from tfdvbpr.training.engine.profile import FOLDER as PROFILE
from tfdvbpr.training.engine.profile import StepProfile, profile_steps
from tfdvbpr.training.engine.session import Session
from tfdvbpr.training.engine.tensorboard import write_projector
from tfdvbpr.training.recommender.checks import check_names, notes
from tfdvbpr.training.recommender.precision import settled_precision
from tfdvbpr.training.recommender.step import RecommenderTrainer

Validate = Callable[[Factors], Mapping[str, float]]


def train_recommender(
    dataset: PreparedDataset,
    config: RecommenderConfig,
    output: Path,
    *,
    validate: Validate | None = None,
    observer: Observer | None = None,
    strategy: Any = None,
    overwrite: bool = False,
    restart: bool = False,
    resume: bool = False,
    tensorboard: Path | None = None,
    around: Around | None = None,
    profiled: Callable[[StepProfile], None] | None = None,
    told: Callable[[str], None] = lambda line: None,
) -> Run:
    """Trains, keeps the weights that did best on validation, and writes a run folder.

    An interrupted training is taken up again after its last checkpoint when the same call is made with the same
    dataset, configuration and output, and ends bit for bit like one that was not interrupted.

    Args:
        dataset: what to train on.
        config: model, hyper-parameters, seed.
        output: the run folder to make; it appears whole or not at all.
        validate: figures of a set of factors, among them "auc"; called every `config.evaluate_every` epochs. Left out,
            the last weights are kept.
        observer: told how training stands about twice a second.
        strategy: a tf.distribute strategy; left out, `make_strategy()`.
        overwrite: replace a run that is already there.
        restart: forget an interrupted training of the same output.
        resume: refuse to begin where no training was interrupted.
        tensorboard: a folder for TensorBoard: scalars, and the items' embeddings with their pictures.
        around: see `run_epochs`.
        profiled: before training, takes where the time of a step goes; the run folder then holds a profile for
            TensorBoard.
        told: takes lines for people.

    Raises:
        ConfigError: if a name in the configuration is unknown.
        OutputExistsError: if `output` holds something already.
        RunError: if a different training was interrupted at the same output, or none where one is to be resumed.
        FloatingPointError: if a loss or a weight is no longer finite.
        DiskFullError: if there is no room to write.
        Interrupted: after SIGINT or SIGTERM, once the checkpoint is written; a SystemExit with 130 or 143.
    """
    check_names(config)
    if not RECOMMENDERS[config.model].has_weights:
        return _train_closed_form(dataset, config, output, overwrite=overwrite, told=told)
    strategy = strategy or make_strategy()
    session = Session(
        output,
        config,
        dataset.manifest.fingerprint,
        strategy,
        overwrite=overwrite,
        restart=restart,
        resume=resume,
        tensorboard=tensorboard,
        told=told,
    )
    if session.finished:
        return Run.open(output)
    with session:
        config = settled_precision(
            config,
            dataset.manifest.image_size,
            session.folder,
            num_replicas=strategy.num_replicas_in_sync,
            share=session.share,
            told=told,
        )
        for line in notes(config, dataset):
            told(line)
        trainer = RecommenderTrainer(dataset, config, strategy, told=told)
        if trainer.model.frozen_network is not None:
            told(f"{config.backbone} is frozen: each picture goes through it once, neither flipped nor shifted.")
        if profiled is not None:
            profiled(profile_steps(trainer, strategy, session.folder and session.folder / PROFILE))
        keep_best = KeepBest(
            variables({"model": trainer.model}),
            trainer.factors,
            validate,
            config,
            session.folder,
            averaged=trainer.averaged,
            agreed=session.agreed,
            share=session.share,
            told=told,
        )
        session.train(trainer, keep_best, {"best": keep_best}, keep_best.history, observer=observer, around=around)
        factors = keep_best.best_factors()

        def write(seconds: float) -> None:
            with whole_directory(output, if_exists="overwrite" if overwrite else "error") as folder:
                trainer.model.save_weights(folder / WEIGHTS_NAME)
                session.copy_into(folder, PROFILE)
                _write(folder, dataset, config, factors, keep_best.history, seconds)

        session.write_run(write)
        if session.tensorboard is not None:
            _project(session.tensorboard.folder, dataset, factors)
    return Run.open(output)


def _train_closed_form(
    dataset: PreparedDataset, config: RecommenderConfig, output: Path, *, overwrite: bool, told: Callable[[str], None]
) -> Run:
    check_output(output, if_exists="overwrite" if overwrite else "error")
    began = time.perf_counter()
    with whole_directory(output, if_exists="overwrite" if overwrite else "error") as folder:
        kind, features = RECOMMENDERS[config.model], None
        if kind.uses_features:
            features = catalogue_features(dataset, config.features)
        factors = kind.closed_form(dataset.interactions, features)
        _write(folder, dataset, config, factors, History(), time.perf_counter() - began)
    return Run.open(output)


def _project(folder: Path, dataset: PreparedDataset, factors: Factors) -> None:
    table = dataset.items.table
    labels = list(zip(table["item_id"].to_list(), table["category"].to_list(), strict=True))
    write_projector(folder, factors.item_embeddings, labels, dataset.images.read)


def _write(
    folder: Path,
    dataset: PreparedDataset,
    config: RecommenderConfig,
    factors: Factors,
    history: History,
    seconds: float,
) -> None:
    manifest = new_manifest(dataset, kind="recommender", model=config.model, training_seconds=seconds)
    write_run_header(folder, manifest, config, history.table())
    write_recommender_tables(folder, dataset, factors)


__all__ = ["RecommenderTrainer", "StepReport", "train_recommender"]
