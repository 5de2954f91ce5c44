"""CNN-F, as the authors' DVBPR code has it."""

from __future__ import annotations

import keras
from keras import layers

from tfdvbpr.models.backbones.base import BackboneOptions, freeze_below_head, intended_for


@intended_for(224, 224)
def cnn_f(image_size: tuple[int, int], options: BackboneOptions) -> keras.Model:
    """CNN-F: five convolutions, two dense layers of 4,096, and a linear embedding.

    Chatfield et al. 2014, in the form of the authors' DVBPR code: SAME padding, ReLU, Glorot weights, zero biases, no
    local response normalisation. At 224×224, the paper's size, the first dense layer sees 7·7·256 = 12,544 numbers. L2
    falls on weights and not on biases, dropout after each of the two wide dense layers.

    Returns:
        A model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, embedding_dim].
    """
    penalty = keras.regularizers.L2(0.5 * options.l2) if options.l2 else None

    def convolution(filters: int, size: int, strides: int = 1) -> layers.Layer:
        return layers.Conv2D(filters, size, strides, padding="same", activation="relu", kernel_regularizer=penalty)

    def pool() -> layers.Layer:
        return layers.MaxPooling2D(2, padding="same")

    def dense(units: int, activation: str | None = "relu") -> layers.Layer:
        return layers.Dense(units, activation=activation, kernel_regularizer=penalty)

    stack = [
        keras.Input((*image_size, 3), name="images"),
        convolution(64, 11, strides=4),
        pool(),
        convolution(256, 5),
        pool(),
        convolution(256, 3),
        convolution(256, 3),
        convolution(256, 3),
        pool(),
        layers.Flatten(),
        dense(4096),
        layers.Dropout(options.dropout),
        dense(4096),
        layers.Dropout(options.dropout),
        dense(options.embedding_dim, activation=None),
    ]
    return freeze_below_head(keras.Sequential(stack, name="cnn_f"), options.trainable)
