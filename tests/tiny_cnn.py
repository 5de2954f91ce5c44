"""A backbone for tests of what is around it: traced in less time than `small_cnn`, with all that a training keeps."""

from __future__ import annotations

import keras
from keras import layers

from tfdvbpr.models.backbones import BackboneOptions
from tfdvbpr.models.backbones.base import freeze_below_head, standardised


def tiny_cnn(image_size: tuple[int, int], options: BackboneOptions) -> keras.Model:
    """One convolution, batch normalisation, dropout, and a linear embedding of fixed scale; penalties as usual."""
    penalty = keras.regularizers.L2(0.5 * options.l2) if options.l2 else None
    images = keras.Input((*image_size, 3), name="images")
    hidden = layers.Conv2D(4, 3, strides=4, padding="same", use_bias=False, kernel_regularizer=penalty)(images)
    hidden = layers.BatchNormalization(momentum=0.9, synchronized=True)(hidden)
    hidden = layers.Dropout(options.dropout)(layers.Flatten()(layers.ReLU()(hidden)))
    embeddings = standardised()(layers.Dense(options.embedding_dim, kernel_regularizer=penalty)(hidden))
    return freeze_below_head(keras.Model(images, embeddings, name="tiny_cnn"), options.trainable)
