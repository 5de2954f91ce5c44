"""Adam on rows of latents, as a graph function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7

Values = Callable[[Any, Any], tuple[Any, tuple[Any, ...]]]


def adam_ascent(
    values: Values,
    first: Any,
    *,
    num_steps: Any,
    learning_rate: Callable[[Any], Any] | float,
    num_figures: int,
    keep_path: bool,
    on_sphere: bool = False,
) -> tuple[Any, Any, Any]:
    """Maximises a function of each row by Adam (Kingma & Ba 2015) from fresh state; rows are independent.

    On the sphere each row keeps its norm: Adam gets the gradient without its radial part, and the row is scaled back
    after each step. Latents of N(0, I) lie near one sphere, and the images of others are those that no photo is like
    (PULSE, Menon et al. 2020, who keep to the sphere by projection too).

    Args:
        values: from the rows, float32 [R, L], and the step, int32 [], to the objective, float32 [R], and
            `num_figures` further float32 [R].
        first: float32 [R, L].
        num_steps: int32 [], or [R], each row's own; finished rows are frozen.
        learning_rate: a number, or a function of the step, int32 [].
        num_figures: see `values`.
        keep_path: whether the rows are kept after each step.
        on_sphere: whether each row keeps its norm, which must not be 0.

    Returns:
        The last rows, float32 [R, L]; the figures before each step, float32 [T, num_figures, R]; and the path,
        float32 [T + 1, R, L], or None; T is the largest of `num_steps`.
    """
    own_steps = tf.convert_to_tensor(num_steps, tf.int32)
    num_steps = tf.reduce_max(own_steps)
    norms = tf.sqrt(_dot(first, first))

    def step(number: Any, rows: Any, mean: Any, square: Any, figures: Any, path: Any) -> tuple[Any, ...]:
        with tf.GradientTape() as tape:
            tape.watch(rows)
            worth, row_figures = values(rows, number)
        gradient = tape.gradient(worth, rows)
        if on_sphere:
            gradient -= rows * (_dot(gradient, rows) / _dot(rows, rows))
        mean = _BETA_1 * mean + (1.0 - _BETA_1) * gradient
        square = _BETA_2 * square + (1.0 - _BETA_2) * tf.square(gradient)
        count = tf.cast(number + 1, tf.float32)
        rate = learning_rate(number) if callable(learning_rate) else learning_rate
        corrected = tf.sqrt(square / (1.0 - tf.pow(_BETA_2, count))) + _EPSILON
        moved = rows + rate * mean / (1.0 - tf.pow(_BETA_1, count)) / corrected
        if on_sphere:
            moved *= norms / tf.sqrt(_dot(moved, moved))
        rows = moved if own_steps.shape.rank == 0 else tf.where((number < own_steps)[:, None], moved, rows)
        path = path.write(number + 1, rows) if keep_path else path
        return number + 1, rows, mean, square, figures.write(number, tf.stack(row_figures)), path

    path = tf.TensorArray(tf.float32, size=num_steps + 1 if keep_path else 0, element_shape=first.shape)
    path = path.write(0, first) if keep_path else path
    figures = tf.TensorArray(tf.float32, size=num_steps, element_shape=(num_figures, first.shape[0]))
    state = (tf.constant(0), first, tf.zeros_like(first), tf.zeros_like(first), figures, path)
    _, last, _, _, figures, path = tf.while_loop(lambda number, *_: number < num_steps, step, state)
    return last, figures.stack(), path.stack() if keep_path else None


def _dot(first: Any, second: Any) -> Any:
    """float32 [R, 1]: inner products of matching rows."""
    return tf.reduce_sum(first * second, axis=1, keepdims=True)
