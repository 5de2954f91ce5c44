"""Layers of bounded gain: spectral normalisation, Miyato et al. 2018, by a power iteration that keeps its vector."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

_EPSILON = 1e-12


def spectral_norm(kernel: Any, direction: Any) -> tuple[Any, Any]:
    """The largest singular value of a kernel, by one step of the power iteration.

    No gradient flows through the two singular vectors, as in the paper.

    Args:
        kernel: float32 [..., F], seen as a matrix of F columns.
        direction: float32 [F], where the iteration stands.

    Returns:
        The norm, a scalar, and the new direction, float32 [F] of length 1.
    """
    matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
    fixed = ops.stop_gradient(matrix)
    left = _unit(ops.matmul(fixed, direction[:, None]))
    right = _unit(ops.matmul(ops.transpose(fixed), left))
    norm = ops.sum(left * ops.matmul(matrix, right))
    return norm, right[:, 0]


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


@keras.saving.register_keras_serializable(package="tfdvbpr")
class SpectralConv2D(layers.Conv2D):
    """A convolution whose kernel is divided by its spectral norm; arguments are those of `keras.layers.Conv2D`."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes kernel, bias and direction."""
        super().build(input_shape)
        self.direction = _add_direction(self, self.filters)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """float32 [B, h, w, C] to float32 [B, h', w', F]; the direction moves in training alone."""
        norm, direction = spectral_norm(self.kernel, self.direction)
        if training:
            self.direction.assign(direction)
        outputs = ops.conv(inputs, self.kernel, strides=list(self.strides), padding=self.padding) / norm
        return outputs + self.bias if self.use_bias else outputs


@keras.saving.register_keras_serializable(package="tfdvbpr")
class CategoryProjection(layers.Layer):
    """What a picture has of its category: h · e_c for each place of a map, Miyato and Koyama 2018.

    The table of e_c is divided by its spectral norm.

    Args:
        num_categories: rows of the table.
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

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras."""
        return {**super().get_config(), "num_categories": self.num_categories}
