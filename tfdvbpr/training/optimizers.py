"""Optimizers: step sizes over time, and three kinds of Adam.

`FusedAdam` updates a large weight in one pass, `RowAdam` a table of which a step reads a few rows, and `AveragingAdam`
keeps moving averages. `Optimizers` holds the two of a recommender.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tfdvbpr.config import RecommenderConfig
from tfdvbpr.models.recommenders.pairwise import PairwiseRecommender

_NEGLIGIBLE = 1e-4
_BLOCK = 1 << 16


def make_adam(config: RecommenderConfig, kind: Any, rate: float, *, steps_per_epoch: int) -> Any:
    """Adam, or a class like it, with a step size that falls from `rate` by a cosine (Loshchilov and Hutter 2017)."""
    steps = config.epochs * steps_per_epoch
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps, alpha=config.final_learning_rate)
    return kind(schedule, epsilon=config.adam_epsilon)


class PacedCosine(keras.optimizers.schedules.CosineDecay):
    """A cosine decay over a training whose length changes while it goes.

    Args:
        rate: the first step size.
        steps: of the training as planned.
        alpha: fraction left at the end.
        pace: a variable, float32 [3]: a step, how many planned steps were done by then, and how many a step does since.
    """

    def __init__(self, rate: float, steps: int, *, alpha: float, pace: Any) -> None:
        super().__init__(rate, steps, alpha=alpha)
        self._pace = pace

    def __call__(self, step: Any) -> Any:
        """The step size, float32."""
        begun, done, pace = ops.unstack(ops.convert_to_tensor(self._pace), num=3)
        return super().__call__(done + (ops.cast(step, "float32") - begun) * pace)


class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam, computed by TensorFlow's own kernel.

    The formula is the same to the last bits. An update of weights is bound by memory: CNN-F has 80 million, and Keras'
    form reads and writes temporaries of their size where the kernel reads w, m, v and the gradient once and writes
    three of them. Takes the arguments of Keras' Adam; `amsgrad` is not among them.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.amsgrad:
            raise ValueError("`amsgrad` must be false: there is no kernel for it. Take Keras' own Adam.")

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        """Keras' hook: sums gradients over the replicas, as one vector, since each all-reduce has its own delay."""
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return grads_and_vars
        gradients, variables = zip(*grads_and_vars, strict=True)
        flat = tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], axis=0)
        parts = tf.split(
            context.all_reduce(tf.distribute.ReduceOp.SUM, flat),
            [variable.shape.num_elements() for variable in variables],
        )
        return [(tf.reshape(part, variable.shape), variable) for part, variable in zip(parts, variables, strict=True)]

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        """Keras' hook: what every variable's step takes is computed once."""
        step = tf.cast(self.iterations + 1, tf.float32)
        powers = [tf.pow(beta, step) for beta in (self.beta_1, self.beta_2)]
        super()._backend_update_step(grads, trainable_variables, (learning_rate, *powers))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One variable's step, with the powers of both betas; called by Keras for each copy of it."""
        index = self._get_variable_index(variable)
        rate, *powers = (tf.cast(number, variable.dtype) for number in learning_rate)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )


@keras.saving.register_keras_serializable(package="tfdvbpr")
class AveragingAdam(FusedAdam):
    """`FusedAdam` with a decay of its moving averages that rises with the steps t: min(decay, (1 + t)/(10 + t)).

    A constant decay would keep half of the random first weights for ln 2/(1 - decay) steps, most of a short training.
    """

    @property
    def ema_momentum(self) -> Any:
        """The decay at this step."""
        if self._decay is None:
            return None
        step = ops.cast(self.iterations, "float32")
        return ops.minimum(self._decay, (1.0 + step) / (10.0 + step))

    @ema_momentum.setter
    def ema_momentum(self, decay: float | None) -> None:
        self._decay = decay

    def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
        """Keras' hook, where the decay is computed once and not for each variable."""
        decay = ops.cast(ops.not_equal(self.iterations, 0), "float32") * self.ema_momentum
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            if average is not None:
                average.assign(decay * average + (1.0 - decay) * variable)

    def get_config(self) -> dict[str, Any]:
        """Arguments to make it again."""
        return {**super().get_config(), "ema_momentum": self._decay}


class RowAdam(keras.optimizers.Adam):
    """Kingma and Ba's Adam, row by row; the idle steps of a row are applied when it is next read.

    Under Adam a row goes on moving after its last gradient, since its momentum decays step by step: with β₁ = 0.9, nine
    tenths of the effect of a gradient on a row come after its step. Keras moves every row in every step for that. An
    optimizer that leaves idle rows alone (a *lazy* Adam) does a tenth of it, and its second moments decay only in steps
    that sample the row, so that the same step size means something else.

    Here a row keeps the number of the step that it is up to date with. Before it is read, `catch_up` applies the steps
    that it missed at once: m and v decay by β₁ᵏ and β₂ᵏ after k idle steps, and the row moves by

        -m / (√v + ε) · Σ_{j=1..k} α_j (β₁/√β₂)ʲ,   α_j = η √(1 - β₂ᵗ) / (1 - β₁ᵗ) at t = idle since + j,

    which is Adam's own sum with three differences: η is the present one in all terms, ε is not divided by √β₂ʲ, and
    terms below 10⁻⁴ of the first are left out. Takes the arguments of Keras' Adam; `amsgrad` is not among them.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._decay_ratio = self.beta_1 / math.sqrt(self.beta_2)
        if self._decay_ratio >= 1 or self.amsgrad:
            raise ValueError(
                "`beta_1` must be below the root of `beta_2`, without `amsgrad`, to apply idle steps. "
                f"Received {self.beta_1}, {self.beta_2} and amsgrad={self.amsgrad}."
            )
        self._most_idle = math.ceil(math.log(_NEGLIGIBLE) / math.log(self._decay_ratio)) if self.beta_1 else 1

    def build(self, variables: Any) -> None:
        """Makes m, v and the step that each row is up to date with."""
        if self.built:
            return
        super().build(variables)
        # float32 counts to 16 million steps, and has kernels for rows of it on every device.
        self._up_to_date = [
            self.add_variable(shape=table.shape[:1], dtype="float32", name=f"{table.name}_up_to_date")
            for table in variables
        ]

    def catch_up(self, table: Any, rows: Any) -> None:
        """Applies the idle steps of rows, int32 [B], before a replica reads them; each updates the rows of all."""
        self._on_every_copy(table.value, self._to_now, rows)

    def catch_up_all(self, strategy: Any, table: Any) -> None:
        """Applies the idle steps of every row, between steps: the one dense pass."""
        for start in range(0, table.shape[0], _BLOCK):
            rows = tf.range(start, min(start + _BLOCK, table.shape[0]), dtype=tf.int32)
            with strategy.scope():
                strategy.extended.update(table.value, self._to_now, args=(rows,), group=False)

    def _to_now(self, table: Any, rows: Any) -> None:
        self._update_rows(table, tf.unique(rows).y, tf.cast(self.iterations, tf.float32), self.learning_rate)

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        """Keras' hook: sums gradients over the replicas, where its own way of doing so takes no IndexedSlices."""
        for gradient, table in zip(grads, trainable_variables, strict=True):

            def update(copy: Any, rows: Any, values: Any) -> None:
                self.update_step(tf.IndexedSlices(values, rows), copy, learning_rate)

            if not isinstance(gradient, tf.IndexedSlices):
                raise TypeError(f"A gradient must be of single rows, tf.IndexedSlices. That of {table.path} is dense.")
            self._on_every_copy(table.value, update, gradient.indices, gradient.values)

    @staticmethod
    def _on_every_copy(table: Any, update: Any, *arrays: Any) -> None:
        """`update(copy, *arrays)` of each replica's copy of a table, with the arrays of all replicas in order."""
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            # Gathering goes by a tensor's device, and a function's argument has none.
            arrays = tuple(context.all_gather(tf.identity(array), axis=0) for array in arrays)

        def everywhere(strategy: Any, *arrays: Any) -> None:
            strategy.extended.update(table, update, args=arrays, group=False)

        context.merge_call(everywhere, args=arrays)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Adam's step on the rows of one copy that have a gradient."""
        rows, positions = tf.unique(gradient.indices)
        summed = tf.math.unsorted_segment_sum(gradient.values, positions, tf.size(rows))
        step = tf.cast(self.iterations + 1, tf.float32)
        self._update_rows(variable, rows, step - 1.0, learning_rate)
        momentums, velocities, up_to_date = self._slots_of(variable)
        momentum = self.beta_1 * tf.gather(momentums, rows) + (1 - self.beta_1) * summed
        velocity = self.beta_2 * tf.gather(velocities, rows) + (1 - self.beta_2) * tf.square(summed)
        alpha = tf.cast(learning_rate, tf.float32) * self._correction(step)
        variable.scatter_sub(tf.IndexedSlices(alpha * momentum / (tf.sqrt(velocity) + self.epsilon), rows))
        momentums.scatter_update(tf.IndexedSlices(momentum, rows))
        velocities.scatter_update(tf.IndexedSlices(velocity, rows))
        up_to_date.scatter_update(tf.IndexedSlices(tf.fill(tf.shape(rows), step), rows))

    def _update_rows(self, table: Any, rows: Any, step: Any, learning_rate: Any) -> None:
        """Applies the idle steps of distinct rows up to a step."""
        momentums, velocities, up_to_date = self._slots_of(table)
        since = tf.gather(up_to_date, rows)  # [B]
        idle = step - since
        steps = tf.range(1.0, self._most_idle + 1.0)[None]  # [1, J]
        terms = self._correction(since[:, None] + steps) * self._decay_ratio**steps
        moved = tf.reduce_sum(tf.where(steps <= idle[:, None], terms, 0.0), axis=1)
        moved *= tf.cast(learning_rate, tf.float32)
        momentum, velocity = tf.gather(momentums, rows), tf.gather(velocities, rows)

        def each(numbers: Any) -> Any:
            return tf.reshape(numbers, [-1] + [1] * (len(table.shape) - 1))

        change = each(moved) * momentum / (tf.sqrt(velocity) + self.epsilon)
        table.scatter_sub(tf.IndexedSlices(change, rows))
        momentums.scatter_update(tf.IndexedSlices(each(self.beta_1**idle) * momentum, rows))
        velocities.scatter_update(tf.IndexedSlices(each(self.beta_2**idle) * velocity, rows))
        up_to_date.scatter_update(tf.IndexedSlices(tf.fill(tf.shape(rows), step), rows))

    def _correction(self, step: Any) -> Any:
        """√(1 - β₂ᵗ) / (1 - β₁ᵗ), for moments that began at 0."""
        return tf.sqrt(1.0 - tf.pow(self.beta_2, step)) / (1.0 - tf.pow(self.beta_1, step))

    def _slots_of(self, table: Any) -> tuple[Any, Any, Any]:
        """m, v and the steps, as they lie on the device whose copy of the table is given."""
        index = self._get_variable_index(table)
        copies = self._distribution_strategy.experimental_local_results
        number = next(
            number for number, copy in enumerate(copies(self._trainable_variables[index].value)) if copy is table
        )
        momentums, velocities, up_to_date = (
            copies(slots[index].value)[number] for slots in (self._momentums, self._velocities, self._up_to_date)
        )
        return momentums, velocities, up_to_date


@dataclass(frozen=True)
class Optimizers:
    """The optimizers of a recommender: `tables` have a row a user or an item; `network` may be behind loss scaling."""

    network: Any
    tables: RowAdam

    @property
    def loss_scale(self) -> Any:
        """The factor of the loss before it is differentiated in float16; None in other precisions."""
        return getattr(self.network, "dynamic_scale", None)

    def catch_up(self, model: PairwiseRecommender, batch: Mapping[str, Any]) -> None:
        """Applies the idle steps of the rows that a part of a batch reads, in a replica's step before they are read."""
        names = ("item_ids",) if "item_ids" in batch else ("positive_item_ids", "negative_item_ids")
        items = tf.concat([tf.reshape(batch[name], [-1]) for name in names], axis=0)
        for tables, rows in ((model.user_tables, batch["user_ids"]), (model.item_tables, items)):
            for table in tables:
                self.tables.catch_up(table, rows)

    def catch_up_all(self, strategy: Any, model: PairwiseRecommender) -> None:
        """Applies the idle steps of every row, between steps."""
        for table in model.tables:
            self.tables.catch_up_all(strategy, table)

    def apply(self, gradients: list[Any], network: list[Any], tables: list[Any]) -> None:
        """Applies a replica's gradients of the network's variables and then of the tables; sums over replicas."""
        of_network, of_tables = gradients[: len(network)], gradients[len(network) :]
        if self.loss_scale is not None:  # read before the network's step may change it
            of_tables = [_unscaled(gradient, self.loss_scale) for gradient in of_tables]
        if network:
            self.network.apply([tf.convert_to_tensor(gradient) for gradient in of_network], network)
        if tables:
            self.tables.apply(of_tables, tables)


def _unscaled(gradient: Any, scale: Any) -> Any:
    """A table's gradient of a loss that was scaled; zero for this step where it left float16's range."""
    values = gradient.values / scale
    finite = tf.reduce_all(tf.math.is_finite(values))
    return tf.IndexedSlices(tf.where(finite, values, tf.zeros_like(values)), gradient.indices, gradient.dense_shape)
