"""A small CNN for small images and small machines."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from tfdvbpr.models.backbones.base import BackboneOptions, freeze_below_head, standardised

_FILTERS = (32, 64, 128, 256)
_COLOURS = (32, 64)


def small_cnn(image_size: tuple[int, int], options: BackboneOptions) -> keras.Model:
    """Four 3×3 convolutions of stride 2, a soft colour histogram, and a linear embedding of all of these.

    Shape comes from the last map (a 2×2 mean), texture from the means of the second and third, colour from two 1×1
    convolutions on the image at quarter size whose mean over the image is a histogram over trainable colour bins:
    preferences for colours are learned in a few epochs that way, where the deep maps alone need many.

    About 35 million multiply-adds for a 64×64 image. The statistics of the batch normalisation are those of all
    replicas. A last normalisation without weights fixes the scale of Φ, which the paper leaves free: without it θ's
    penalty can be dodged by making Φ large.

    Takes and returns what `cnn_f` does.
    """
    penalty = keras.regularizers.L2(0.5 * options.l2) if options.l2 else None
    images = keras.Input((*image_size, 3), name="images")
    colours = layers.AveragePooling2D(4)(images)
    for units in _COLOURS:
        colours = _block(colours, units, size=1, strides=1, penalty=penalty)
    hidden, maps = images, []
    for filters in _FILTERS:
        hidden = _block(hidden, filters, size=3, strides=2, penalty=penalty)
        maps.append(hidden)
    means = [standardised()(layers.GlobalAveragePooling2D()(part)) for part in (colours, maps[1], maps[2])]
    shape = layers.Flatten()(layers.AveragePooling2D(2, padding="same")(maps[-1]))
    hidden = layers.Dropout(options.dropout)(layers.Concatenate()([*means, shape]))
    embeddings = standardised()(layers.Dense(options.embedding_dim, kernel_regularizer=penalty)(hidden))
    return freeze_below_head(keras.Model(images, embeddings, name="small_cnn"), options.trainable)


def _block(hidden: Any, filters: int, *, size: int, strides: int, penalty: Any) -> Any:
    """Convolution, batch normalisation, leaky ReLU."""
    convolution = layers.Conv2D(
        filters, size, strides=strides, padding="same", use_bias=False, kernel_regularizer=penalty
    )
    normalise = layers.BatchNormalization(momentum=0.9, synchronized=True)
    return layers.LeakyReLU(0.1)(normalise(convolution(hidden)))
