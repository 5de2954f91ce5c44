"""Keras layers of the GAN's networks; their batch statistics are those of the global batch, over all replicas."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

_EPSILON = 1e-12
_SPREAD_EPSILON = 1e-6


def leaky_relu(hidden: Any, slope: float) -> Any:
    """Leaky ReLU for symbolic maps behind a convolution with a bias.

    TensorFlow 2.20's remapper takes away the bias that the gradient of `LeakyRelu` still reads, and prints that it
    failed; behind a reshaping, which costs nothing, it does not try.
    """
    flat = layers.LeakyReLU(slope)(layers.Flatten()(hidden))
    return layers.Reshape(hidden.shape[1:])(flat)


def sum_over_replicas(value: Any) -> Any:
    """The sum of a value over the replicas; the value itself with one replica, or outside of a replica.

    Differentiable: each replica's term receives the gradients of all replicas.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def mean_over_replicas(value: Any) -> Any:
    """The mean of a value over the replicas; see `sum_over_replicas`."""
    context = tf.distribute.get_replica_context()
    return sum_over_replicas(value) / (1 if context is None else context.num_replicas_in_sync)


@tf.custom_gradient
def channel_moments(maps: Any) -> Any:
    """The means of a channel's numbers and of their squares, float32 [2, C], of float32 [B, h, w, C].

    Its gradient is one multiplication and one addition a number, where TensorFlow's own writes the maps six times.
    """

    def gradient(upstream: Any) -> Any:
        of_mean, of_squares = tf.unstack(upstream / tf.cast(tf.size(maps) // maps.shape[-1], maps.dtype))
        return maps * (2.0 * of_squares) + of_mean

    return tf.stack([tf.reduce_mean(maps, (0, 1, 2)), tf.reduce_mean(tf.square(maps), (0, 1, 2))]), gradient


class ConditionalNormalization(layers.Layer):
    """Batch normalisation whose gain and offset come from a style: γ(s) · (x - μ)/σ + β(s), de Vries et al. 2017.

    Means and variances are those of the global batch; in inference, their moving averages. The whole is one
    multiplication and one addition a number, which is most of its cost on a CPU.
    """

    def __init__(self, *, momentum: float = 0.9, epsilon: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Makes the moving averages, and the map from styles to gains and offsets."""
        maps, style = input_shape
        channels = int(maps[-1] or 0)
        moving = {"shape": (channels,), "trainable": False, "aggregation": "mean"}
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **moving)
        self.moving_variance = self.add_weight(name="moving_variance", initializer="ones", **moving)
        small = keras.initializers.RandomNormal(stddev=0.02)
        self.modulate = layers.Dense(2 * channels, kernel_initializer=small)
        self.modulate.build(style)
        self.built = True

    def call(self, inputs: list[Any], training: bool = False) -> Any:
        """Maps float32 [B, h, w, C] and styles float32 [B, S] to float32 [B, h, w, C]."""
        maps, style = inputs
        modulation = ops.reshape(self.modulate(style), (-1, 1, 1, 2 * maps.shape[-1]))
        gains, offsets = ops.split(modulation, 2, axis=-1)  # [B, 1, 1, C]
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            mean, squares = ops.unstack(mean_over_replicas(channel_moments(maps)), num=2)
            variance = ops.relu(squares - ops.square(mean))
            self.moving_mean.assign(self.momentum * self.moving_mean + (1.0 - self.momentum) * mean)
            self.moving_variance.assign(self.momentum * self.moving_variance + (1.0 - self.momentum) * variance)
        scale = (1.0 + gains) / ops.sqrt(variance + self.epsilon)
        return maps * scale + (offsets - mean * scale)


class BatchSpread(layers.Layer):
    """Appends to each hidden map how much the images of the batch differ from others of their category.

    Minibatch standard deviation, Karras et al. 2018, against a generator that ignores z. Different from there: it is of
    the images themselves, averaged over the cells of the hidden map, and within categories, since a generator can vary
    with c alone. In inference a moving average over the real and generated batches of training replaces the batch, so
    that no logit depends on the other rows.
    """

    def __init__(self, *, momentum: float = 0.9, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Makes the moving average, of the hidden map's height and width."""
        (_, height, width, _), (_, _, _, channels), _ = input_shape
        self.moving_spread = self.add_weight(
            name="moving_spread",
            shape=(height, width, channels),
            initializer="zeros",
            trainable=False,
            aggregation="mean",
        )
        self.built = True

    def call(self, inputs: list[Any], training: bool = False) -> Any:
        """[B, h, w, C], images [B, H, W, 3] and one-hot c [B, N] to [B, h, w, C + 3]."""
        hidden, images, one_hot = inputs
        _, height, width, _ = hidden.shape
        spread = self.moving_spread
        if training:
            sizes = (images.shape[1] // height, images.shape[2] // width)
            cells = ops.average_pool(images, sizes, sizes)
            counts = sum_over_replicas(ops.sum(one_hot, axis=0))
            sums = sum_over_replicas(ops.tensordot(ops.transpose(one_hot), cells, axes=1))  # [N, h, w, 3]
            means = sums / ops.maximum(counts, 1.0)[:, None, None, None]
            deviations = cells - ops.tensordot(one_hot, means, axes=1)
            squares = sum_over_replicas(ops.sum(ops.square(deviations), axis=0))
            spread = ops.sqrt(squares / ops.sum(counts) + _SPREAD_EPSILON)
            self.moving_spread.assign(self.momentum * self.moving_spread + (1.0 - self.momentum) * spread)
        maps = ops.broadcast_to(spread[None], (ops.shape(hidden)[0], *spread.shape))
        return ops.concatenate([hidden, ops.cast(maps, hidden.dtype)], axis=-1)


def spectral_norm(kernel: Any, direction: Any) -> tuple[Any, Any]:
    """The largest singular value of a kernel, by one step of the power iteration; Miyato et al. 2018.

    No gradient flows through the two singular vectors, as in the paper.

    Args:
        kernel: float32 [..., F], reshaped to a matrix of F columns.
        direction: float32 [F], the right singular vector so far.

    Returns:
        The norm, a scalar, and the new direction, float32 [F] of length 1.
    """
    matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
    fixed = ops.stop_gradient(matrix)
    left = _unit(ops.matmul(fixed, ops.reshape(direction, (-1, 1))))  # [N, 1]
    right = ops.reshape(_unit(ops.matmul(ops.reshape(left, (1, -1)), fixed)), (-1, 1))  # [F, 1]
    norm = ops.sum(left * ops.matmul(matrix, right))
    return norm, ops.reshape(right, (-1,))


def _unit(vector: Any) -> Any:
    return vector / ops.maximum(ops.sqrt(ops.sum(ops.square(vector))), _EPSILON)


def _add_direction(layer: layers.Layer, length: int) -> Any:
    """Every replica finds the same direction, for the kernel is the same: any one of them may be kept."""
    return layer.add_weight(
        name="direction",
        shape=(length,),
        initializer=keras.initializers.RandomNormal(stddev=1.0),
        trainable=False,
        aggregation="only_first_replica",
    )


# Not keras.layers.SpectralNormalization: it overwrites the kernel with the divided one at each training call, so the
# gradient does not see the norm, Adam's step is undone in part, and a replica may not assign a trainable variable.
class SpectralConv2D(layers.Conv2D):
    """A convolution whose kernel is divided by its spectral norm; arguments are those of `keras.layers.Conv2D`."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes kernel, bias and direction."""
        super().build(input_shape)
        self.direction = _add_direction(self, self.filters)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """float32 [B, h, w, C] to float32 [B, h', w', F]; the direction changes in training alone."""
        norm, direction = spectral_norm(self.kernel, self.direction)
        if training:
            self.direction.assign(direction)
        outputs = ops.conv(inputs, self.kernel / norm, strides=list(self.strides), padding=self.padding)
        return outputs + self.bias if self.use_bias else outputs


class CategoryProjection(layers.Layer):
    """The category's part of a logit, h · e_c at each position of a map; Miyato and Koyama 2018.

    The table of e_c is divided by its spectral norm.
    """

    def __init__(self, num_categories: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_categories = num_categories

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Makes the table, float32 [N, C]."""
        channels = input_shape[0][-1]
        self.table = self.add_weight(name="table", shape=(self.num_categories, channels), initializer="glorot_normal")
        self.direction = _add_direction(self, int(channels or 0))
        self.built = True

    def call(self, inputs: list[Any], training: bool = False) -> Any:
        """Maps float32 [B, h, w, C] and category ids int32 [B] to float32 [B, h, w, 1]."""
        maps, category_ids = inputs
        norm, direction = spectral_norm(self.table, self.direction)
        if training:
            self.direction.assign(direction)
        rows = ops.take(self.table / norm, category_ids, axis=0)  # [B, C]
        return ops.sum(maps * rows[:, None, None, :], axis=-1, keepdims=True)
