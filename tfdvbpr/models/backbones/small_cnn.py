"""A small CNN for small pictures and small machines."""

from __future__ import annotations

import keras
from keras import layers

_FILTERS = (32, 64, 128, 256)


def small_cnn(image_size: tuple[int, int], *, embedding_dim: int, dropout: float, l2: float) -> keras.Model:
    """Four 3×3 convolutions of stride 2 with batch normalisation, a 2×2 mean, and a linear embedding.

    About 30 million multiply-adds (twice that in operations) for a 64×64 picture. The statistics of the batch
    normalisation are shared over the replicas. A last normalisation without weights fixes the scale of Φ, which the
    paper leaves free: without it θ's penalty can be dodged by making Φ large.

    Takes and returns what `cnn_f` does.
    """
    penalty = keras.regularizers.L2(0.5 * l2) if l2 else None

    def normalise(**options: bool) -> layers.Layer:
        return layers.BatchNormalization(momentum=0.9, synchronized=True, **options)

    stack: list[layers.Layer] = [keras.Input((*image_size, 3), name="images")]
    for filters in _FILTERS:
        stack += [
            layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, kernel_regularizer=penalty),
            normalise(),
            layers.LeakyReLU(0.1),
        ]
    stack += [
        layers.AveragePooling2D(2, padding="same"),
        layers.Flatten(),
        layers.Dropout(dropout),
        layers.Dense(embedding_dim, kernel_regularizer=penalty),
        normalise(center=False, scale=False),
    ]
    return keras.Sequential(stack, name="small_cnn")
