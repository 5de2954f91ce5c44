"""Adam for tables of which a step reads a few rows: no step passes over the whole table."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

_NEGLIGIBLE = 1e-4
_BLOCK = 1 << 16


class RowAdam(keras.optimizers.Adam):
    """Kingma and Ba's Adam, row by row; a row's idle steps are made up for when it is next read.

    Under Adam a row goes on moving after its last gradient, since its momentum fades step by step: with β₁ = 0.9, nine
    tenths of what a gradient does to a row come after the step that saw it. Keras moves every row in every step for
    that. An optimizer that leaves idle rows alone (a *lazy* Adam) does a tenth of it, and its second moments forget
    only what happens while the row is drawn, so that the same step size means something else.

    Here a row keeps the number of the step it was brought to. Before it is read, `make_up` applies the steps it missed
    at once: m and v fade by β₁ᵏ and β₂ᵏ after k idle steps, and the row moves by

        -m / (√v + ε) · Σ_{j=1..k} α_j (β₁/√β₂)ʲ,   α_j = η √(1 - β₂ᵗ) / (1 - β₁ᵗ) at t = idle since + j,

    which is Adam's own sum with three differences: η is that of now for all of them, ε is not divided by √β₂ʲ, and
    terms below 10⁻⁴ of the first are left out. Takes the arguments of Keras' Adam; `amsgrad` is not among them.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._fading = self.beta_1 / math.sqrt(self.beta_2)
        if self._fading >= 1 or self.amsgrad:
            raise ValueError(
                "`beta_1` must be below the root of `beta_2`, without `amsgrad`, for idle steps to be made up for. "
                f"Received {self.beta_1}, {self.beta_2} and amsgrad={self.amsgrad}."
            )
        self._most_idle = math.ceil(math.log(_NEGLIGIBLE) / math.log(self._fading)) if self.beta_1 else 1

    def build(self, variables: Any) -> None:
        """Makes m, v and the step each row was brought to."""
        if self.built:
            return
        super().build(variables)
        # float32 counts to 16 million steps, and has kernels for rows of it on every device.
        self._brought_to = [
            self.add_variable(shape=table.shape[:1], dtype="float32", name=f"{table.name}_brought_to")
            for table in variables
        ]

    def make_up(self, table: Any, rows: Any) -> None:
        """Brings rows to the present; in a replica's step, before they are read.

        Args:
            table: one of the variables the optimizer was built with.
            rows: int32 [B], those this replica is going to read; every replica brings those of all.
        """
        self._on_every_copy(table.value, self._to_now, rows)

    def make_up_all(self, strategy: Any, table: Any) -> None:
        """Brings every row to the present, between steps: the one dense pass, for who wants to look at the whole."""
        for start in range(0, table.shape[0], _BLOCK):
            rows = tf.range(start, min(start + _BLOCK, table.shape[0]), dtype=tf.int32)
            with strategy.scope():
                strategy.extended.update(table.value, self._to_now, args=(rows,), group=False)

    def _to_now(self, table: Any, rows: Any) -> None:
        self._bring(table, tf.unique(rows).y, tf.cast(self.iterations, tf.float32), self.learning_rate)

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
        rows, places = tf.unique(gradient.indices)
        summed = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
        step = tf.cast(self.iterations + 1, tf.float32)
        self._bring(variable, rows, step - 1.0, learning_rate)
        momentums, velocities, brought_to = self._slots_of(variable)
        momentum = self.beta_1 * tf.gather(momentums, rows) + (1 - self.beta_1) * summed
        velocity = self.beta_2 * tf.gather(velocities, rows) + (1 - self.beta_2) * tf.square(summed)
        alpha = tf.cast(learning_rate, tf.float32) * self._correction(step)
        variable.scatter_sub(tf.IndexedSlices(alpha * momentum / (tf.sqrt(velocity) + self.epsilon), rows))
        momentums.scatter_update(tf.IndexedSlices(momentum, rows))
        velocities.scatter_update(tf.IndexedSlices(velocity, rows))
        brought_to.scatter_update(tf.IndexedSlices(tf.fill(tf.shape(rows), step), rows))

    def _bring(self, table: Any, rows: Any, step: Any, learning_rate: Any) -> None:
        """Brings different rows from where they are to a step."""
        momentums, velocities, brought_to = self._slots_of(table)
        since = tf.gather(brought_to, rows)  # [B]
        idle = step - since
        steps = tf.range(1.0, self._most_idle + 1.0)[None]  # [1, J]
        terms = self._correction(since[:, None] + steps) * self._fading**steps
        moved = tf.reduce_sum(tf.where(steps <= idle[:, None], terms, 0.0), axis=1)
        moved *= tf.cast(learning_rate, tf.float32)
        momentum, velocity = tf.gather(momentums, rows), tf.gather(velocities, rows)

        def each(numbers: Any) -> Any:
            return tf.reshape(numbers, [-1] + [1] * (len(table.shape) - 1))

        change = each(moved) * momentum / (tf.sqrt(velocity) + self.epsilon)
        table.scatter_sub(tf.IndexedSlices(change, rows))
        momentums.scatter_update(tf.IndexedSlices(each(self.beta_1**idle) * momentum, rows))
        velocities.scatter_update(tf.IndexedSlices(each(self.beta_2**idle) * velocity, rows))
        brought_to.scatter_update(tf.IndexedSlices(tf.fill(tf.shape(rows), step), rows))

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
        momentums, velocities, brought_to = (
            copies(slots[index].value)[number] for slots in (self._momentums, self._velocities, self._brought_to)
        )
        return momentums, velocities, brought_to
