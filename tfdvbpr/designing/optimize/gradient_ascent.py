"""Adam on rows of latents, in graph ops, and rows in chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7

Values = Callable[[Any, Any], tuple[Any, tuple[Any, ...]]]


def climb(
    values: Values,
    first: Any,
    *,
    num_steps: Any,
    learning_rate: Callable[[Any], Any] | float,
    num_figures: int,
    keep_path: bool,
) -> tuple[Any, Any, Any]:
    """Adam (Kingma & Ba 2015) uphill from fresh state, every row by itself.

    Args:
        values: of the rows, float32 [R, L], and the step, int32 []; what is maximised, float32 [R], and as many
            further float32 [R] as `num_figures` says.
        first: float32 [R, L].
        num_steps: int32 [], or [R], each row's own; who has made hers stands still.
        learning_rate: a number, or a function of the step, int32 [].
        num_figures: see `values`.
        keep_path: whether the rows are kept step by step.

    Returns:
        The last rows, float32 [R, L]; the figures before each step, float32 [T, num_figures, R]; and the path,
        float32 [T + 1, R, L], or None; T is the largest of `num_steps`.
    """
    own_steps = tf.convert_to_tensor(num_steps, tf.int32)
    num_steps = tf.reduce_max(own_steps)

    def step(number: Any, rows: Any, mean: Any, square: Any, figures: Any, path: Any) -> tuple[Any, ...]:
        with tf.GradientTape() as tape:
            tape.watch(rows)
            worth, told = values(rows, number)
        gradient = tape.gradient(worth, rows)
        mean = _BETA_1 * mean + (1.0 - _BETA_1) * gradient
        square = _BETA_2 * square + (1.0 - _BETA_2) * tf.square(gradient)
        count = tf.cast(number + 1, tf.float32)
        rate = learning_rate(number) if callable(learning_rate) else learning_rate
        corrected = tf.sqrt(square / (1.0 - tf.pow(_BETA_2, count))) + _EPSILON
        moved = rows + rate * mean / (1.0 - tf.pow(_BETA_1, count)) / corrected
        rows = moved if own_steps.shape.rank == 0 else tf.where((number < own_steps)[:, None], moved, rows)
        path = path.write(number + 1, rows) if keep_path else path
        return number + 1, rows, mean, square, figures.write(number, tf.stack(told)), path

    path = tf.TensorArray(tf.float32, size=num_steps + 1 if keep_path else 0, element_shape=first.shape)
    path = path.write(0, first) if keep_path else path
    figures = tf.TensorArray(tf.float32, size=num_steps, element_shape=(num_figures, first.shape[0]))
    state = (tf.constant(0), first, tf.zeros_like(first), tf.zeros_like(first), figures, path)
    _, last, _, _, figures, path = tf.while_loop(lambda number, *_: number < num_steps, step, state)
    return last, figures.stack(), path.stack() if keep_path else None


def in_chunks(function: Callable[[Any], Any], num_rows: Any, *, chunk_rows: int, signature: Any) -> Any:
    """A function of rows, called chunk by chunk, one after the other, and its answers joined.

    Chunks are of one size, at most `chunk_rows` and as equal as can be; the last may end with copies of its last row,
    which are cut off again.

    Args:
        function: of int32 [C], the numbers of rows, to a structure of tensors [C, ...].
        num_rows: int32 [], R, above 0.
        chunk_rows: the most rows at once.
        signature: the structure of `tf.TensorSpec` of one chunk's answer.

    Returns:
        The structure with tensors [R, ...].
    """
    num_rows = tf.convert_to_tensor(num_rows, tf.int32)
    chunks = (num_rows + chunk_rows - 1) // chunk_rows
    size = (num_rows + chunks - 1) // chunks
    rows = tf.minimum(tf.reshape(tf.range(chunks * size), [chunks, size]), num_rows - 1)
    answers = tf.map_fn(function, rows, fn_output_signature=signature, parallel_iterations=1)

    def joined(parts: Any) -> Any:
        return tf.reshape(parts, tf.concat([[-1], tf.shape(parts)[2:]], axis=0))[:num_rows]

    return tf.nest.map_structure(joined, answers)
