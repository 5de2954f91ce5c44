"""A light generator whose every layer knows category and latents: G(z, c)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from tfdvbpr.models.gans.architecture import GanShape
from tfdvbpr.models.gans.generator import check_sides
from tfdvbpr.models.gans.replicas import mean_over_replicas

_WIDTHS = (8, 8, 4, 2, 1)
_CATEGORY_DIM, _STYLE_DIM = 64, 128


@keras.saving.register_keras_serializable(package="tfdvbpr")
class ConditionalNormalization(layers.Layer):
    """Batch normalisation whose gain and offset come from a style: γ(s) · (x - μ)/σ + β(s), de Vries et al. 2017.

    Means and variances are those of the global batch, over all replicas; in inference, their moving averages. The whole
    is one multiplication and one addition a number, which is most of its cost on a CPU.

    Args:
        momentum: of the moving averages.
        epsilon: added to the variance.
    """

    def __init__(self, *, momentum: float = 0.9, epsilon: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Makes the moving averages, and the map from styles to gains and offsets."""
        maps, style = input_shape
        channels = int(maps[-1] or 0)
        self.moving_mean = self._moving("moving_mean", channels, "zeros")
        self.moving_variance = self._moving("moving_variance", channels, "ones")
        small = keras.initializers.RandomNormal(stddev=0.02)
        self.modulate = layers.Dense(2 * channels, kernel_initializer=small)
        self.modulate.build(style)
        self.built = True

    def _moving(self, name: str, channels: int, initializer: str) -> Any:
        return self.add_weight(
            name=name, shape=(channels,), initializer=initializer, trainable=False, aggregation="mean"
        )

    def call(self, inputs: list[Any], training: bool = False) -> Any:
        """Maps float32 [B, h, w, C] and styles float32 [B, S] to float32 [B, h, w, C]."""
        maps, style = inputs
        gains, offsets = ops.split(self.modulate(style), 2, axis=-1)
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            moments = ops.stack([ops.mean(maps, axis=(0, 1, 2)), ops.mean(ops.square(maps), axis=(0, 1, 2))])
            moments = mean_over_replicas(moments)
            mean, variance = moments[0], ops.relu(moments[1] - ops.square(moments[0]))
            self.moving_mean.assign(self.momentum * self.moving_mean + (1.0 - self.momentum) * mean)
            self.moving_variance.assign(self.momentum * self.moving_variance + (1.0 - self.momentum) * variance)
        scale = (1.0 + gains) / ops.sqrt(variance + self.epsilon)  # [B, C]
        shift = offsets - mean * scale
        return maps * scale[:, None, None, :] + shift[:, None, None, :]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras."""
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="tfdvbpr")
class SteepTanh(layers.Layer):
    """tanh whose gradient is 1 - tanh² + slope: where tanh is flat, and a pixel black or white, it can still change.

    Args:
        slope: at least 0; with 0 it is tanh.
    """

    def __init__(self, slope: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slope = slope

    def call(self, hidden: Any) -> Any:
        """Float numbers of any shape to tanh of them."""
        outputs = ops.tanh(hidden)
        return outputs + self.slope * (hidden - ops.stop_gradient(hidden)) if self.slope else outputs

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras."""
        return {**super().get_config(), "slope": self.slope}


def conditional_generator(shape: GanShape) -> keras.Model:
    """Four doublings from 1/16 of the picture, each modulated by a style that is made of z and c.

    The style is a dense layer over z and a learnt vector of c. A doubling is a convolution at the smaller size, an
    interpolation and a convolution at the larger one, both 3×3, each with `ConditionalNormalization` and leaky ReLU:
    nothing in it treats even and odd pixels differently, so it leaves no grid (Odena et al. 2016). With
    `skip_excitation` the maps of 1/16 and 1/8 weigh the channels of those of 1/2 and 1/1 (Liu et al. 2021, FastGAN).

    Args:
        shape: `base_channels` is the width at full size; it doubles with each halving, up to eight times.

    Returns:
        A model from {"latents": float32 [B, latent_dim], "category_ids": int32 [B]} to float32 [B, H, W, 3] in [-1, 1].

    Raises:
        ValueError: if a side is no multiple of 16.
    """
    height, width = check_sides(shape.image_size)
    latents = keras.Input((shape.latent_dim,), name="latents")
    category_ids = keras.Input((), dtype="int32", name="category_ids")
    normal = keras.initializers.RandomNormal(stddev=1.0)
    told = layers.Embedding(shape.num_categories, _CATEGORY_DIM, embeddings_initializer=normal)(category_ids)
    z = layers.Activation("tanh")(latents) if shape.bounded else latents
    both = layers.Concatenate()([z, told])
    style = layers.LeakyReLU(0.2)(layers.Dense(_STYLE_DIM)(both))
    widths = [shape.base_channels * factor for factor in _WIDTHS]
    hidden = layers.Dense(height // 16 * (width // 16) * widths[0])(both)
    hidden = _modulated(layers.Reshape((height // 16, width // 16, widths[0]))(hidden), style)
    passed = [hidden]
    for number, filters in enumerate(widths[1:]):
        hidden = _modulated(_convolution(filters)(hidden), style)
        hidden = layers.UpSampling2D(2, interpolation="bilinear")(hidden)
        hidden = _modulated(_convolution(filters)(hidden), style)
        if shape.skip_excitation and number >= 2:
            hidden = _excited(hidden, passed[number - 2])
        passed.append(hidden)
    hidden = layers.Conv2D(3, 3, padding="same", name="images")(hidden)
    images = SteepTanh(shape.saturation_slope)(hidden)
    return keras.Model({"latents": latents, "category_ids": category_ids}, images, name="generator")


def _modulated(hidden: Any, style: Any) -> Any:
    return layers.LeakyReLU(0.2)(ConditionalNormalization()([hidden, style]))


def _convolution(filters: int) -> layers.Layer:
    return layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal")


def _excited(fine: Any, coarse: Any) -> Any:
    """Channels of the fine map, weighed in (0, 2) by what the coarse one holds."""
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(coarse)
    hidden = layers.LeakyReLU(0.1)(layers.Conv2D(fine.shape[-1], 1)(pooled))
    return fine * (2.0 * layers.Conv2D(fine.shape[-1], 1, activation="sigmoid")(hidden))
