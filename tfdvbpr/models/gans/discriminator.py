"""The discriminator of the category-conditional GAN: D(x, c)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from tfdvbpr.models.gans.architecture import GanShape
from tfdvbpr.models.gans.replicas import sum_over_replicas

_STDDEV = 0.02
_EPSILON = 1e-6


@keras.saving.register_keras_serializable(package="tfdvbpr")
class BatchSpread(layers.Layer):
    """Appends to each hidden map how much the pictures of the batch differ from others of their category.

    A generator that draws the same colours whatever z is gives itself away by it: minibatch standard deviation, Karras
    et al. 2018, here of the pictures themselves, averaged over the cells of the hidden map and within categories, since
    a generator can vary with c and ignore z. In inference a moving
    average over the real and generated batches of training stands in for the batch, so that no answer depends on its
    neighbours. The batch is the global one, over all replicas.

    Args:
        momentum: of the moving average.
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
        """[B, h, w, C], pictures [B, H, W, 3] and one-hot c [B, N] to [B, h, w, C + 3]."""
        hidden, images, one_hot = inputs
        _, height, width, _ = hidden.shape
        spread = self.moving_spread
        if training:
            sizes = (images.shape[1] // height, images.shape[2] // width)
            cells = ops.average_pool(images, sizes, sizes)
            counts = sum_over_replicas(ops.sum(one_hot, axis=0))
            sums = sum_over_replicas(ops.tensordot(ops.transpose(one_hot), cells, axes=1))  # [N, h, w, 3]
            means = sums / ops.maximum(counts, 1.0)[:, None, None, None]
            apart = cells - ops.tensordot(one_hot, means, axes=1)
            squares = sum_over_replicas(ops.sum(ops.square(apart), axis=0))
            spread = ops.sqrt(squares / ops.sum(counts) + _EPSILON)
            self.moving_spread.assign(self.momentum * self.moving_spread + (1.0 - self.momentum) * spread)
        maps = ops.broadcast_to(spread[None], (ops.shape(hidden)[0], *spread.shape))
        return ops.concatenate([hidden, ops.cast(maps, hidden.dtype)], axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras."""
        return {**super().get_config(), "momentum": self.momentum}


def build_discriminator(
    image_size: tuple[int, int], *, num_categories: int, base_channels: int, batch_spread: bool = False
) -> keras.Model:
    """Four convolutions 5×5 of stride 2, with c as constant maps beside the picture and the first two hidden maps.

    With `base_channels=64` this is the authors' discriminator: 64 (no normalisation), 128, 256, 512 filters, leaky ReLU
    0.2, one dense logit.

    Args:
        image_size: (height, width) in pixels, multiples of 16.
        num_categories: number of constant maps.
        base_channels: filters of the first convolution; each further one doubles them.
        batch_spread: add `BatchSpread` before the logit, which the authors' has not.

    Returns:
        A model from {"images": float32 [B, H, W, 3] in [-1, 1], "category_ids": int32 [B]} to logits float32 [B].
    """
    images = keras.Input((*image_size, 3), name="images")
    category_ids = keras.Input((), dtype="int32", name="category_ids")
    one_hot = layers.CategoryEncoding(num_categories, output_mode="one_hot")(category_ids)
    hidden = images
    for number in range(4):
        if number < 3:
            hidden = _with_maps(hidden, one_hot)
        hidden = layers.Conv2D(
            base_channels * 2**number,
            5,
            strides=2,
            padding="same",
            kernel_initializer=keras.initializers.RandomNormal(stddev=_STDDEV),
        )(hidden)
        if number:
            hidden = layers.BatchNormalization(momentum=0.9, synchronized=True)(hidden)
        hidden = layers.LeakyReLU(0.2)(hidden)
    if batch_spread:
        hidden = BatchSpread()([hidden, images, one_hot])
    logits = layers.Dense(1, kernel_initializer=keras.initializers.RandomNormal(stddev=_STDDEV))(
        layers.Flatten()(hidden)
    )
    logits = layers.Reshape((), name="logits")(logits)
    return keras.Model({"images": images, "category_ids": category_ids}, logits, name="discriminator")


def convolutional_discriminator(shape: GanShape) -> keras.Model:
    """`build_discriminator` of a shape."""
    return build_discriminator(
        shape.image_size,
        num_categories=shape.num_categories,
        base_channels=shape.discriminator_channels,
        batch_spread=shape.batch_spread,
    )


def _with_maps(hidden: Any, one_hot: Any) -> Any:
    """Appends c as maps that are constant over the picture."""
    height, width = hidden.shape[1:3]
    categories = one_hot.shape[-1]
    maps = layers.Reshape((height, width, categories))(layers.RepeatVector(height * width)(one_hot))
    return layers.Concatenate()([hidden, maps])
