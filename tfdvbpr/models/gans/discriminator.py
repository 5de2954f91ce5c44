"""Discriminators of the category-conditional GAN, D(x, c): what all have, and the authors' convolutions."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from tfdvbpr.models.gans.layers import BatchSpread, leaky_relu

_STDDEV = 0.02

Features = list[Any]
PatchLogits = list[Any]


class Discriminator(keras.Model):
    """A discriminator in two parts: features of images, computed once a step, and logits of features and a category.

    Calling it maps {"images": float32 [B, H, W, 3] in [-1, 1], "category_ids": int32 [B]} to one logit an image,
    float32 [B]: the mean over heads of the means over patches.

    Args:
        image_size: (height, width) in pixels, multiples of 16.
        num_categories: number of values of c.
        base_channels: width.

    Attributes:
        pretrained_backbone: the name in FEATURE_NETWORKS of the frozen network whose features it sees; None for none.
    """

    pretrained_backbone: ClassVar[str | None] = None

    @classmethod
    def check_available(cls) -> None:
        """Checks that the weights it needs are installed.

        Raises:
            ConfigError: if they are not.
        """

    def calibrate(self, images: npt.NDArray[np.float32]) -> None:
        """Sets fixed statistics from real images, float32 [N, H, W, 3] in [-1, 1], before training."""

    def features(self, images: Any) -> Features:
        """What the logits are computed from: float32 [B, h, w, C] a head, of float32 [B, H, W, 3] in [-1, 1]."""
        raise NotImplementedError

    def logits(self, features: Features, category_ids: Any, *, training: bool = False) -> PatchLogits:
        """A logit a patch: float32 [B, P] a head, of `features` and category ids int32 [B]."""
        raise NotImplementedError

    def training_logits(
        self, real: Features, fake: Features, category_ids: Any, other_ids: Any | None
    ) -> tuple[PatchLogits, PatchLogits, PatchLogits | None]:
        """The patch logits of a discriminator step, from features of real images and of as many generated ones.

        The ids are int32 [B]: of both images of a row, and, or None, wrong ones of the real images.

        Returns:
            Logits of real images, of generated ones, and, with `other_ids`, of real ones with a wrong category.
        """
        return (
            self.logits(real, category_ids, training=True),
            self.logits(fake, category_ids, training=True),
            None if other_ids is None else self.logits(real, other_ids, training=True),
        )

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """{"images", "category_ids"} to one logit an image, float32 [B]."""
        return mean_logits(self.logits(self.features(inputs["images"]), inputs["category_ids"], training=training))

    @property
    def own_weights(self) -> list[Any]:
        """All weights but a pretrained backbone's: what a checkpoint holds."""
        return list(self.weights)


def mean_logits(patch_logits: PatchLogits) -> Any:
    """float32 [B]: the mean over heads of the means over patches, float32 [B, P] each."""
    means = [ops.mean(logits, axis=1) for logits in patch_logits]
    return sum(means[1:], means[0]) / len(means)


class PaperConvolutionalDiscriminator(Discriminator):
    """Four convolutions 5×5 of stride 2, with c as constant maps beside the image and the first two hidden maps.

    With `base_channels=64` this is the authors' discriminator: 64 (no normalisation), 128, 256, 512 filters, leaky ReLU
    0.2, one dense logit.
    """

    batch_spread: ClassVar[bool] = False

    def __init__(self, image_size: tuple[int, int], *, num_categories: int, base_channels: int) -> None:
        super().__init__(name="discriminator")
        images = keras.Input((*image_size, 3), name="images")
        category_ids = keras.Input((), dtype="int32", name="category_ids")
        one_hot = layers.CategoryEncoding(num_categories, output_mode="one_hot")(category_ids)
        hidden = images
        for number in range(4):
            hidden = _with_maps(hidden, one_hot) if number < 3 else hidden
            convolution = layers.Conv2D(
                base_channels * 2**number, 5, strides=2, padding="same", kernel_initializer=_normal()
            )
            hidden = convolution(hidden)
            if number:
                hidden = layers.BatchNormalization(momentum=0.9, synchronized=True)(hidden)
                hidden = layers.LeakyReLU(0.2)(hidden)
            else:
                hidden = leaky_relu(hidden, 0.2)
        if self.batch_spread:
            hidden = BatchSpread()([hidden, images, one_hot])
        logits = layers.Dense(1, kernel_initializer=_normal())(layers.Flatten()(hidden))
        logits = layers.Reshape((), name="logits")(logits)
        self.network = keras.Model({"images": images, "category_ids": category_ids}, logits)
        self.built = True

    def features(self, images: Any) -> Features:
        """The images themselves."""
        return [images]

    def logits(self, features: Features, category_ids: Any, *, training: bool = False) -> PatchLogits:
        """One head of one patch, float32 [B, 1]; in training batch normalisation sees the whole batch."""
        return [self.network({"images": features[0], "category_ids": category_ids}, training=training)[:, None]]


class ConvolutionalDiscriminator(PaperConvolutionalDiscriminator):
    """The authors' discriminator with `BatchSpread` before its logit, against a generator that ignores z."""

    batch_spread = True


def _normal() -> Any:
    return keras.initializers.RandomNormal(stddev=_STDDEV)


def _with_maps(hidden: Any, one_hot: Any) -> Any:
    """Appends c as maps that are constant over the image."""
    height, width = hidden.shape[1:3]
    categories = one_hot.shape[-1]
    maps = layers.Reshape((height, width, categories))(layers.RepeatVector(height * width)(one_hot))
    return layers.Concatenate()([hidden, maps])
