"""What a recommender's gradients are applied with: its network in whole, its tables row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfdvbpr.models.recommenders.pairwise import PairwiseRecommender
from tfdvbpr.training.optimizers.row_adam import RowAdam


@dataclass(frozen=True)
class Optimizers:
    """One for tables with a row a user or an item, one for everything else: they learn at different speeds.

    Attributes:
        network: a Keras optimizer, perhaps behind Keras' loss scaling.
        tables: a `RowAdam`, or another Keras optimizer, which moves every row in every step.
    """

    network: Any
    tables: Any

    @property
    def loss_scale(self) -> Any:
        """What the loss is multiplied by before it is differentiated in float16; None where there is no need."""
        return getattr(self.network, "dynamic_scale", None)

    def make_up_rows(self, model: PairwiseRecommender, batch: Mapping[str, Any]) -> None:
        """Brings the rows that a part of a batch reads to the present, in a replica's step before they are read."""
        if not isinstance(self.tables, RowAdam):
            return
        names = ("item_ids",) if "item_ids" in batch else ("positive_item_ids", "negative_item_ids")
        items = tf.concat([tf.reshape(batch[name], [-1]) for name in names], axis=0)
        for tables, rows in ((model.user_tables, batch["user_ids"]), (model.item_tables, items)):
            for table in tables:
                self.tables.make_up(table, rows)

    def make_up_all(self, strategy: Any, model: PairwiseRecommender) -> None:
        """Brings every row to the present, between steps."""
        for table in model.tables if isinstance(self.tables, RowAdam) else ():
            self.tables.make_up_all(strategy, table)

    def apply(self, gradients: list[Any], network: list[Any], tables: list[Any]) -> None:
        """Applies a replica's gradients of the network's variables and then of the tables; sums over replicas."""
        of_network, of_tables = gradients[: len(network)], gradients[len(network) :]
        if self.loss_scale is not None:  # read before the network's step may change it
            of_tables = [_unscaled(gradient, self.loss_scale) for gradient in of_tables]
        if network:
            self.network.apply([tf.convert_to_tensor(gradient) for gradient in of_network], network)
        if tables:
            by_row = isinstance(self.tables, RowAdam)
            self.tables.apply(of_tables if by_row else [tf.convert_to_tensor(each) for each in of_tables], tables)


def _unscaled(gradient: Any, scale: Any) -> Any:
    """A table's gradient of a loss that was scaled; where it left float16's range, none for this step."""
    values = gradient.values / scale
    finite = tf.reduce_all(tf.math.is_finite(values))
    return tf.IndexedSlices(tf.where(finite, values, tf.zeros_like(values)), gradient.indices, gradient.dense_shape)
