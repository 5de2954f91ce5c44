"""The way back from a picture to latents: q(z | x), the other half of a VAE."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers, ops

_PLACES = 16
_HIDDEN = 256
_FARTHEST = 3.0


def encoder(seen_shapes: Sequence[tuple[int, int, int]], latent_dim: int) -> keras.Model:
    """Two dense layers above what a projected discriminator sees, each map averaged to at most sixteen places a side.

    Means stay within ±3 and variances below 1: an encoder that has lost its way asks for nothing that the prior never
    asks for, and finds back, for no gradient ends there.

    Args:
        seen_shapes: (h, w, C) of the maps, as `ProjectedDiscriminator.see` gives them.
        latent_dim: length of z.

    Returns:
        A model from the maps, float32 [B, h, w, C] each, to mean and log variance of z, float32 [B, latent_dim] both;
        at first about 0 and log ½.
    """
    maps = [keras.Input(shape) for shape in seen_shapes]
    pooled = [layers.Flatten()(_pooled(each)) for each in maps]
    hidden = layers.LayerNormalization()(layers.Concatenate()(pooled))
    hidden = layers.LeakyReLU(0.2)(layers.Dense(_HIDDEN)(hidden))
    small = keras.initializers.RandomNormal(stddev=0.02)
    mean = layers.Dense(latent_dim, kernel_initializer=small, name="mean")(hidden)
    mean = _FARTHEST * ops.tanh(mean / _FARTHEST)
    log_variance = layers.Dense(latent_dim, kernel_initializer=small, name="log_variance")(hidden)
    log_variance = -ops.softplus(log_variance)
    return keras.Model(maps, [mean, log_variance], name="encoder")


def _pooled(maps: keras.KerasTensor) -> keras.KerasTensor:
    height, width = (-(-side // _PLACES) for side in maps.shape[1:3])
    return layers.AveragePooling2D((height, width))(maps)
