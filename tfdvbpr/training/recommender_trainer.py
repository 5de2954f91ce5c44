"""Trains a recommender on a prepared dataset and writes its run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.data.batches import ReadImages
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.files import check_output, whole_directory
from tfdvbpr.models import RECOMMENDERS, USES_FEATURES
from tfdvbpr.models.base import PairwiseRecommender
from tfdvbpr.models.build import build_recommender
from tfdvbpr.models.factors import Factors
from tfdvbpr.models.visrank import visrank
from tfdvbpr.run import (
    WEIGHTS_NAME,
    Run,
    architecture,
    new_manifest,
    write_recommender_tables,
    write_run_header,
)
from tfdvbpr.training.actions import History, KeepBest
from tfdvbpr.training.batching import make_batches
from tfdvbpr.training.checks import check_names, notes
from tfdvbpr.training.closed_form import closed_form_factors
from tfdvbpr.training.features import catalogue_features, in_tenths, trunk_features
from tfdvbpr.training.loop import Around, Batches, Observer, StepReport
from tfdvbpr.training.objective import RankingObjective, network_input
from tfdvbpr.training.optimizers import averages_in_place, clip_gradients, make_adam
from tfdvbpr.training.session import Session
from tfdvbpr.training.state import variables
from tfdvbpr.training.strategy import make_strategy
from tfdvbpr.training.tastes import TasteBatches, Tastes
from tfdvbpr.training.tensorboard import write_projector

Validate = Callable[[Factors], Mapping[str, float]]
_ENCODE_BATCH = 256


@dataclass(frozen=True)
class Optimizers:
    """One for tables with a row a user or an item, one for everything else: they learn at different speeds."""

    network: Any
    tables: Any


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
    if RECOMMENDERS[config.model] == "closed-form":
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
        for line in notes(config, dataset):
            told(line)
        trainer = RecommenderTrainer(dataset, config, strategy, told=told)
        if trainer.model.frozen_trunk is not None:
            told(f"{config.backbone} is frozen: each picture goes through it once, neither flipped nor shifted.")
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
            with whole_directory(output, overwrite=overwrite) as folder:
                trainer.model.save_weights(folder / WEIGHTS_NAME)
                session.copy_into(folder)
                _write(folder, dataset, config, factors, keep_best.history, seconds)

        session.write_run(write)
        if session.tensorboard is not None:
            _project(session.tensorboard.folder, dataset, factors)
    return Run.open(output)


def _train_closed_form(
    dataset: PreparedDataset, config: RecommenderConfig, output: Path, *, overwrite: bool, told: Callable[[str], None]
) -> Run:
    check_output(output, overwrite=overwrite)
    began = time.perf_counter()
    with whole_directory(output, overwrite=overwrite) as folder:
        factors = closed_form_factors(config, dataset, told=told)
        _write(folder, dataset, config, factors, History(), time.perf_counter() - began)
    return Run.open(output)


def _project(folder: Path, dataset: PreparedDataset, factors: Factors) -> None:
    table = dataset.items.table
    labels = list(zip(table["item_id"].to_list(), table["category"].to_list(), strict=True))
    write_projector(folder, factors.item_embeddings, labels, dataset.images.read)


class RecommenderTrainer:
    """One model, its optimizers and batches, under a strategy.

    Args:
        dataset: what to train on.
        config: model, hyper-parameters, seed.
        strategy: a tf.distribute strategy.
        told: takes lines for people while pictures are looked at before training.
    """

    def __init__(
        self,
        dataset: PreparedDataset,
        config: RecommenderConfig,
        strategy: Any,
        *,
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.dataset = dataset
        self.config = config
        self._num_replicas = strategy.num_replicas_in_sync
        # Before the seed is set and outside of the scope: a network may be built for them, or they may lie on a disk.
        features = None
        if config.model in USES_FEATURES:
            features = catalogue_features(dataset, config.features, progress=in_tenths(told, config.features))
        self._feature_mean = None if features is None else features.mean(axis=0)
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            shape = architecture(config, dataset.manifest)
            self.model: PairwiseRecommender = build_recommender(config.model, shape)
            self.model.built = True
            if features is not None:
                self.model.set_features(features)
        self._read = self._make_reader(told)
        self._encode = tf.function(
            lambda images: self.model.embed_images(network_input(images), training=False), reduce_retracing=True
        )
        drawn = make_batches(config, dataset.interactions, self.model, self._read, num_replicas=self._num_replicas)
        self._objective = RankingObjective(
            self.model, config, num_replicas=self._num_replicas, global_batch_size=drawn.global_batch_size
        )
        self.batches: Batches = drawn
        if self._objective.leave_one_out:
            kept = partial(Tastes.of, interactions=dataset.interactions, shrinkage=config.shrinkage)
            self.batches = TasteBatches(drawn, lambda: self._tastes(self._item_embeddings()), kept)
        with strategy.scope():
            self.optimizers = self._make_optimizers()

    def _make_reader(self, told: Callable[[str], None]) -> ReadImages:
        """Pictures of item rows, or what a trunk that is not trained sees of them, once for the whole training."""
        trunk = self.model.frozen_trunk
        if trunk is None:
            return self.dataset.images.read
        backbone = self.config.backbone
        name = None if self.config.backbone_weights == "random" else backbone
        seen = trunk_features(self.dataset, trunk, name=name, progress=in_tenths(told, backbone))
        return lambda items: seen[items]

    @property
    def _network_variables(self) -> list[Any]:
        tables = {id(table) for table in self.model.tables}
        return [variable for variable in self.model.trainable_variables if id(variable) not in tables]

    def _make_optimizers(self) -> Optimizers:
        adam = partial(make_adam, self.config, steps_per_epoch=self.batches.steps_per_epoch)
        optimizers = Optimizers(adam(self.config.learning_rate), adam(self.config.user_learning_rate))
        optimizers.network.build(self._network_variables)
        optimizers.tables.build(self.model.tables)
        return optimizers

    def averaged(self) -> AbstractContextManager[None]:
        """Puts the weights' moving averages, where `average_decay` asks for them, in the weights' place for a while."""
        optimizers = self.optimizers
        return averages_in_place(
            [(optimizers.network, self._network_variables), (optimizers.tables, self.model.tables)]
        )

    def trackables(self) -> dict[str, Any]:
        """What a checkpoint has to hold."""
        # Keras leaves the state of dropout's generators out of a model's checkpoint.
        seeds = [variable.value for variable in self.model.variables if "seed" in variable.path.rpartition("/")[2]]
        optimizers = {"network": self.optimizers.network, "tables": self.optimizers.tables}
        return {"model": self.model, **optimizers, "seeds": seeds}

    def replica_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """One replica's part of a step; the optimizer sums the gradients of the replicas' shares of the global loss.

        Args:
            batch: one part of a `SharedItemBatches` or `TripletBatches` step.

        Returns:
            This replica's shares of `loss` (ranking alone, nats an action) and `penalty`.
        """
        network, tables = self._network_variables, self.model.tables
        shares, gradients = self.gradients(batch, network + tables)
        gradients = clip_gradients(gradients, self.config.clip_norm)
        if network:
            self.optimizers.network.apply(gradients[: len(network)], network)
        if tables:
            self.optimizers.tables.apply(gradients[len(network) :], tables)
        return shares

    def gradients(self, batch: Mapping[str, Any], variables: list[Any]) -> tuple[dict[str, Any], list[Any]]:
        """One replica's shares of the loss and the penalty, and its share of the gradient, dense, of each variable."""
        with tf.GradientTape() as tape:
            ranking, penalty = self._objective(batch)
            total = self._objective.scale * (ranking + penalty)
        gradients = tape.gradient(total, [variable.value for variable in variables])
        return {"loss": ranking, "penalty": penalty}, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def factors(self) -> Factors:
        """Every user's and every item's embedding, the CNN run once over the catalogue."""
        model, everything = self.model, np.arange(self.model.num_items, dtype=np.int32)
        if not model.uses_images:
            items, biases = model.embed_items(everything, None, training=False)
            return self._as_factors(items, biases)
        looks = self._item_embeddings()
        if model.uses_anchors:
            return visrank(looks, self.dataset.interactions.training_matrix)
        if self._objective.leave_one_out:
            model.user_embeddings.assign(model.users_from_means(self._tastes(looks).means()))
        return self._as_factors(*model.beside_looks(everything, looks, np.zeros(len(looks), np.float32)))

    def _as_factors(self, items: Any, biases: Any) -> Factors:
        users = self.model.embed_users(np.arange(self.model.num_users, dtype=np.int32))
        users, items, biases = (keras.ops.convert_to_numpy(array) for array in (users, items, biases))
        return Factors(users, items, biases, self._feature_mean)

    def _tastes(self, embeddings: npt.NDArray[np.float32]) -> Tastes:
        return Tastes.estimate(embeddings, self.dataset.interactions, shrinkage=self.config.shrinkage)

    def _item_embeddings(self) -> npt.NDArray[np.float32]:
        """float32 [num_items, D]: Φ of the whole catalogue, in inference mode."""
        parts = []
        for start in range(0, self.model.num_items, _ENCODE_BATCH):
            rows = np.arange(start, min(start + _ENCODE_BATCH, self.model.num_items), dtype=np.int32)
            parts.append(self._encode(self._read(rows)).numpy())
        return np.concatenate(parts)


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
