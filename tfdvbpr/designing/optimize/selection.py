"""Diverse selection of designs: good ones that do not look alike."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_CELLS = 8


def colour_features(images: Any) -> Any:
    """float32 [R, 192]: mean colours of 8×8 cells, over √192, so that distances are root mean squares in [-1, 1].

    They do not depend on Φ, in whose space the designs of one user lie close together.

    Args:
        images: float32 [R, H, W, 3], sides multiples of 8.
    """
    _, height, width, _ = images.shape
    sizes = (height // _CELLS, width // _CELLS)
    cells = tf.nn.avg_pool2d(images, sizes, sizes, "VALID")[:, :_CELLS, :_CELLS]
    return tf.reshape(cells, [-1, 3 * _CELLS**2]) / (3.0 * _CELLS**2) ** 0.5


def select_diverse(values: Any, features: Any, num_designs: Any, *, diversity: float) -> Any:
    """The designs to keep of each request, by falling objective.

    Greedy: the best first; then always the one with the largest sum of its objective, in standard deviations over the
    request's designs, and `diversity` times the distance to the nearest kept one, in mean distances (max-min
    diversification, Gonzalez 1985, with a quality as in maximal marginal relevance, Carbonell & Goldstein 1998).

    Args:
        values: float32 [B, S], objectives.
        features: float32 [B, S, F].
        num_designs: int32 [], M ≤ S; or [B], each request's own, M being the largest and the rest of a row padding.
        diversity: see above; 0 is the order of the objective.

    Returns:
        int32 [B, M].
    """
    starts, own = tf.shape(values)[1], tf.convert_to_tensor(num_designs, tf.int32)
    num_designs = tf.reduce_max(own)
    quality = (values - tf.reduce_max(values, 1, keepdims=True)) / (tf.math.reduce_std(values, 1)[:, None] + 1e-9)
    squares = tf.reduce_sum(tf.square(features), axis=2)
    products = tf.matmul(features, features, transpose_b=True)
    apart = tf.sqrt(tf.maximum(squares[:, :, None] - 2.0 * products + squares[:, None], 0.0))  # [B, S, S]
    apart /= tf.reduce_mean(apart, axis=(1, 2), keepdims=True) + 1e-9

    def pick(number: Any, free: Any, nearest: Any, picks: Any) -> tuple[Any, ...]:
        worth = tf.where(free, quality + diversity * nearest, quality.dtype.min)
        best = tf.argmax(worth, axis=1, output_type=tf.int32)
        distances = tf.gather(apart, best, batch_dims=1)  # [B, S]
        nearest = tf.where(tf.equal(number, 0), distances, tf.minimum(nearest, distances))
        free = tf.logical_and(free, tf.range(starts)[None] != best[:, None])
        return number + 1, free, nearest, picks.write(number, best)

    picks = tf.TensorArray(tf.int32, size=num_designs, element_shape=(values.shape[0],))
    state = (tf.constant(0), tf.ones_like(values, tf.bool), tf.zeros_like(values), picks)
    *_, picks = tf.while_loop(lambda number, *_: number < num_designs, pick, state)
    kept = tf.transpose(picks.stack())  # [B, M]
    is_own = tf.range(num_designs)[None] < tf.reshape(own, [-1, 1])
    worth = tf.where(is_own, tf.gather(values, kept, batch_dims=1), values.dtype.min)
    return tf.gather(kept, tf.argsort(worth, direction="DESCENDING", stable=True), batch_dims=1)
