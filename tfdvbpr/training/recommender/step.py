"""A recommender under training: its model, optimizers and batches, and one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.models.recommenders import RECOMMENDERS
from tfdvbpr.models.recommenders.factors import Factors
from tfdvbpr.models.recommenders.pairwise import PairwiseRecommender
from tfdvbpr.training.engine.loop import Batches
from tfdvbpr.training.optimizers import FusedAdam, Optimizers, RowAdam, make_adam
from tfdvbpr.training.recommender.adversarial import adversarial_batch
from tfdvbpr.training.recommender.batches import ProfileBatches, make_batches
from tfdvbpr.training.recommender.data import TrainingData
from tfdvbpr.training.recommender.objective import RankingObjective, augmented_input, network_input

_ENCODE_BATCH = 256


class RecommenderTrainer:
    """One model, its optimizers and batches, under a strategy. The features of `data` are copied and not kept.

    Raises:
        ConfigError: if the configuration cannot be trained with.
    """

    def __init__(self, data: TrainingData, config: RecommenderConfig, strategy: Any) -> None:
        self.config = config
        self.interactions = data.interactions
        self._strategy = strategy
        self._num_replicas = strategy.num_replicas_in_sync
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            self.model: PairwiseRecommender = RECOMMENDERS[config.model].for_dataset(config, data.sizes)
            if data.features is not None:
                self.model.set_features(data.features)
        self._network = getattr(self.model, "backbone", None)
        self._read = data.reader(self.model.frozen_network)
        self._encode = tf.function(
            lambda images: self.model.embed_images(network_input(images), training=False),
            reduce_retracing=True,
            autograph=False,
        )
        batches = make_batches(config, data.interactions, self.model, self._read, num_replicas=self._num_replicas)
        self._objective = RankingObjective(
            self.model,
            config,
            num_replicas=self._num_replicas,
            global_batch_size=batches.global_batch_size,
            item_offsets=data.interactions.popularity_offsets(config.popularity_offset),
        )
        self.batches: Batches = batches
        if self.model.uses_profiles:
            self.batches = ProfileBatches(batches, data.interactions, self._embed_catalogue)
        with strategy.scope():
            self.optimizers = self._make_optimizers()

    @property
    def _network_variables(self) -> list[Any]:
        tables = {id(table) for table in self.model.tables}
        return [variable for variable in self.model.trainable_variables if id(variable) not in tables]

    def _make_optimizers(self) -> Optimizers:
        config = self.config
        adam = partial(make_adam, config, steps_per_epoch=self.batches.steps_per_epoch)
        network = _with_loss_scale(adam(FusedAdam, config.learning_rate), config.precision)
        optimizers = Optimizers(network, adam(RowAdam, config.user_learning_rate))
        optimizers.network.build(self._network_variables)
        optimizers.tables.build(self.model.tables)
        return optimizers

    def trackables(self) -> dict[str, Any]:
        """What a checkpoint has to hold."""
        # Keras leaves the state of dropout's generators out of a model's checkpoint.
        seeds = [variable.value for variable in self.model.variables if "seed" in variable.path.rpartition("/")[2]]
        optimizers = {"network": self.optimizers.network, "tables": self.optimizers.tables}
        return {"model": self.model, **optimizers, "seeds": seeds}

    def replica_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """One replica's part of a step; the optimizer sums the gradients of the replicas' shares of the global loss.

        Returns:
            This replica's shares of `loss` (ranking alone, nats an action) and `penalty`.
        """
        self.optimizers.catch_up(self.model, batch)
        network, tables = self._network_variables, self.model.tables
        shares, gradients = self.gradients(batch, network + tables)
        self.optimizers.apply(gradients, network, tables)
        return shares

    @property
    def parts(self) -> dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]]:
        """The step, ending early: forward alone, forward and backward, and whole; for a profile."""

        def forward(batch: Mapping[str, Any]) -> dict[str, Any]:
            with computing_in(self._network, self.config.precision):
                loss, penalty = self._objective(batch)
            return {"loss": loss, "penalty": penalty}

        def backward(batch: Mapping[str, Any]) -> dict[str, Any]:
            shares, gradients = self.gradients(batch, self._network_variables + self.model.tables)
            sums = [tf.reduce_sum(getattr(gradient, "values", gradient)) for gradient in gradients]
            return {**shares, "gradient": tf.add_n(sums)}

        return {"forward": forward, "backward": backward, "update": self.replica_step}

    def gradients(self, batch: Mapping[str, Any], variables: list[Any]) -> tuple[dict[str, Any], list[Any]]:
        """One replica's shares of the loss and the penalty, and its share of the gradient of each variable.

        Gradients of tables are IndexedSlices of the rows that were read, the others are dense.
        """
        with computing_in(self._network, self.config.precision), tf.GradientTape() as tape:
            ranking, penalty = self._ranking_and_penalty(batch)
            total = self._objective.scale * (ranking + penalty)
            if self.optimizers.loss_scale is not None:
                total *= self.optimizers.loss_scale
        gradients = tape.gradient(total, [variable.value for variable in variables])
        return {"loss": ranking, "penalty": penalty}, gradients

    def _ranking_and_penalty(self, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        """The objective; with `adversarial_epsilon`, the ranking loss is the mean over images and changed ones."""
        epsilon = self.config.adversarial_epsilon
        if not epsilon or not self.model.uses_images:
            return self._objective(batch)
        images = augmented_input(batch["images"], batch["random_numbers"], self.config.augmentation)
        batch = {**batch, "images": images}
        changed = adversarial_batch(lambda given: self._objective(given)[0], batch, epsilon)
        ranking, penalty = self._objective(batch)
        return (ranking + self._objective(changed)[0]) / 2.0, penalty

    def factors(self) -> Factors:
        """Every user's and every item's embedding, the CNN run once over the catalogue."""
        self.optimizers.catch_up_all(self._strategy, self.model)
        return self.model.compute_factors(self.interactions, self._embed_catalogue)

    def _embed_catalogue(self) -> npt.NDArray[np.float32]:
        """float32 [num_items, D]: Φ of the whole catalogue, in inference mode."""
        parts = []
        for start in range(0, self.model.num_items, _ENCODE_BATCH):
            rows = np.arange(start, min(start + _ENCODE_BATCH, self.model.num_items), dtype=np.int32)
            parts.append(self._encode(self._read(rows)).numpy())
        return np.concatenate(parts)


@contextmanager
def computing_in(network: keras.Model | None, precision: str) -> Iterator[None]:
    """Trace a network that was built in float32 so that it computes in another precision, a Keras dtype policy.

    Its variables stay float32, and so does its last layer, of which the loss is a function. Nothing else changes: a
    function that is traced outside computes in float32, on the same weights.
    """
    layers = [] if network is None or precision == "float32" else _computing_layers(network)[:-1]
    before = [layer.dtype_policy for layer in layers]
    for layer in layers:
        layer.dtype_policy = precision
    try:
        yield
    finally:
        for layer, policy in zip(layers, before, strict=True):
            layer.dtype_policy = policy


def _computing_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers that compute, in order."""
    if isinstance(layer, keras.Model):
        return [below for part in layer.layers for below in _computing_layers(part)]
    return [] if isinstance(layer, keras.layers.InputLayer) else [layer]


def _with_loss_scale(optimizer: Any, precision: str) -> Any:
    """The optimizer, with Keras's dynamic loss scaling for the small range of float16."""
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer
