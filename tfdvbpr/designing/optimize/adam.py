"""Adam on rows of latents, as a graph function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7

Values = Callable[[Any, Any], tuple[Any, tuple[Any, ...]]]
Allowed = Callable[[Any], Any]


class _Before(NamedTuple):
    """Rows as they were one step ago: where they were, their figures, and whether they ever could be, or had to stop.

    `rows` [R, L], `figures` [num_figures, R], `allowed` and `stopped` bool [R].
    """

    rows: Any
    figures: Any
    allowed: Any
    stopped: Any


def adam_ascent(
    values: Values,
    first: Any,
    *,
    num_steps: Any,
    learning_rate: Callable[[Any], Any] | float,
    num_figures: int,
    keep_path: bool,
    on_sphere: bool = False,
    allowed: Allowed | None = None,
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
        allowed: of figures, float32 [num_figures, R], to bool [R]: whether a row may be where it is. One that may not,
            and could before, goes one step back and stays there.

    Returns:
        The last rows, float32 [R, L]; the figures before each step and of the last rows, float32
        [T + 1, num_figures, R]; and the path, float32 [T + 1, R, L], or None; T is the largest of `num_steps`.
    """
    own_steps = tf.convert_to_tensor(num_steps, tf.int32)
    num_steps = tf.reduce_max(own_steps)
    norms = tf.sqrt(_dot(first, first))

    def gone_back(rows: Any, now: Any, before: _Before) -> tuple[Any, Any, _Before]:
        """The rows and their figures, where one that may not be where it is has gone back."""
        if allowed is not None:
            is_allowed = allowed(now)
            back = before.allowed & ~is_allowed
            rows = tf.where(back[:, None], before.rows, rows)
            now = tf.where(back, before.figures, now)
            before = _Before(rows, now, before.allowed | is_allowed, before.stopped | back)
        return rows, now, before

    def step(number: Any, rows: Any, mean: Any, square: Any, before: _Before, figures: Any, path: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(rows)
            worth, row_figures = values(rows, number)
        gradient = tape.gradient(worth, rows)
        rows, now, before = gone_back(rows, tf.stack(row_figures), before)
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
        stays = before.stopped if own_steps.shape.rank == 0 else before.stopped | (number >= own_steps)
        path = path.write(number, rows) if keep_path else path
        rows = tf.where(stays[:, None], rows, moved)
        return number + 1, rows, mean, square, before, figures.write(number, now), path

    path = tf.TensorArray(tf.float32, size=num_steps + 1 if keep_path else 0, element_shape=first.shape)
    figures = tf.TensorArray(tf.float32, size=num_steps + 1, element_shape=(num_figures, first.shape[0]))
    nowhere = tf.zeros_like(first[:, 0], tf.bool)
    before = _Before(first, tf.zeros([num_figures, tf.shape(first)[0]]), nowhere, nowhere)
    state = (tf.constant(0), first, tf.zeros_like(first), tf.zeros_like(first), before, figures, path)
    _, last, _, _, before, figures, path = tf.while_loop(lambda number, *_: number < num_steps, step, state)
    last, now, _ = gone_back(last, tf.stack(values(last, num_steps)[1]), before)
    figures = figures.write(num_steps, now)
    return last, figures.stack(), path.write(num_steps, last).stack() if keep_path else None


def _dot(first: Any, second: Any) -> Any:
    """float32 [R, 1]: inner products of matching rows."""
    return tf.reduce_sum(first * second, axis=1, keepdims=True)
