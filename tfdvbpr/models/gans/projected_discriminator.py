"""A discriminator that looks through the eyes of a network that ImageNet has taught to see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from tfdvbpr.models.gans.architecture import GanShape
from tfdvbpr.models.gans.feature_pyramid import trunk_levels
from tfdvbpr.models.gans.spectral import CategoryProjection, SpectralConv2D

_WIDTHS = (1, 1, 2, 4)
_SMALLEST_TRUNK_SIDE = 32
_CALIBRATION_BATCH = 64


class Standardised(layers.Layer):
    """Mean 0 and variance 1 a channel, by figures that are set once and then fixed."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the figures; until they are set they change nothing."""
        channels = (input_shape[-1],)
        self.mean = self.add_weight(name="mean", shape=channels, initializer="zeros", trainable=False)
        self.gain = self.add_weight(name="gain", shape=channels, initializer="ones", trainable=False)
        self.built = True

    def call(self, maps: Any) -> Any:
        """float32 [B, h, w, C], both."""
        return (maps - self.mean) * self.gain


class ProjectedDiscriminator(keras.Model):
    """Small heads on fixed, randomly mixed features of a frozen trunk: Sauer et al. 2021, conditional.

    The trunk's maps at 1/4 to 1/32 of the picture are standardised, mixed across channels (random 1×1 convolutions) and
    across scales (each is joined by the next coarser one, enlarged, through a random 3×3 convolution); none of this is
    trained. On each stands a head of its own: convolutions with spectral normalisation, stride 2, until at most four
    places a side are left, then a logit a place, part of which is the category projection.

    Different from the paper: spectral normalisation in the place of batch normalisation in the heads, so that a
    picture's logit depends on no other picture; channels standardised by figures of the real photos; a category; and,
    by choice, a further small head on the pixels themselves, which sees the grids and noise that a trunk, made to
    tell things apart, looks past.

    `call` gives a picture's one logit: the mean over heads of the means over places. Training asks for the places
    (`see`, `grasp`, `logits`). The weights file leaves the trunk out.

    Args:
        shape: sizes and parts.
        imagenet: the trunk's ImageNet weights, or random ones.

    Raises:
        ConfigError: as `trunk_levels`.
    """

    def __init__(self, shape: GanShape, *, imagenet: bool = True) -> None:
        super().__init__(name="projected_discriminator")
        self._image_size = tuple(shape.image_size)
        self._size = _zoomed(shape.image_size, shape.trunk_zoom)
        self._resizes = self._size != self._image_size
        self._pixels = shape.pixel_head
        self.trunk = trunk_levels(shape.trunk, self._size, imagenet=imagenet)
        channels = [output.shape[-1] for output in self.trunk.outputs]
        self.standardised = [Standardised(name=f"standardised_{level}") for level in range(len(channels))]
        for layer, width in zip(self.standardised, channels, strict=True):
            layer.build((None, None, None, width))
        self.mixing = _mixing([output.shape[1:] for output in self.trunk.outputs], shape.discriminator_channels)
        inputs = [output.shape[1:] for output in self.mixing.outputs]
        self.heads = [_head(size, min(size[-1] * 2, 256), level) for level, size in enumerate(inputs)]
        if self._pixels:
            self.heads.append(_pixel_head((*shape.image_size, 3), shape.discriminator_channels))
        self.projections = [
            CategoryProjection(shape.num_categories, name=f"category_{n}") for n in range(len(self.heads))
        ]
        self.places = [
            SpectralConv2D(1, 3, padding="same", kernel_initializer="glorot_normal", name=f"place_{n}")
            for n in range(len(self.heads))
        ]
        for head, projection, place in zip(self.heads, self.projections, self.places, strict=True):
            projection.build([head.output_shape, (None,)])
            place.build(head.output_shape)
        self.built = True

    @property
    def seen_shapes(self) -> list[tuple[int, int, int]]:
        """(h, w, C) of what `see` gives."""
        maps: list[tuple[int, int, int]] = [output.shape[1:] for output in self.mixing.outputs]
        height, width = self._image_size
        return [*maps, (height, width, 3)] if self._pixels else maps

    def see(self, images: Any) -> list[Any]:
        """What the heads look at, float32 [B, h, w, C] each, of pictures float32 [B, H, W, 3] in [-1, 1]."""
        maps = self.mixing(
            [layer(seen) for layer, seen in zip(self.standardised, self._trunk_maps(images), strict=True)]
        )
        return [*maps, images] if self._pixels else list(maps)

    def grasp(self, seen: list[Any], *, training: bool = False) -> list[Any]:
        """The heads' last hidden maps, of what `see` gives."""
        return [head(maps, training=training) for head, maps in zip(self.heads, seen, strict=True)]

    def logits(self, grasped: list[Any], category_ids: Any, *, training: bool = False) -> list[Any]:
        """A logit a place, float32 [B, P] a head, of what `grasp` gives and category ids int32 [B]."""
        return [
            ops.reshape(
                place(hidden, training=training) + projection([hidden, category_ids], training=training),
                (-1, hidden.shape[1] * hidden.shape[2]),
            )
            for hidden, place, projection in zip(grasped, self.places, self.projections, strict=True)
        ]

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """{"images", "category_ids"} to one logit a picture, float32 [B]."""
        grasped = self.grasp(self.see(inputs["images"]), training=training)
        return picture_logits(self.logits(grasped, inputs["category_ids"], training=training))

    def calibrate(self, images: npt.NDArray[np.float32]) -> None:
        """Sets the figures by which channels are standardised, from real pictures float32 [N, H, W, 3]."""
        sums = [np.zeros((2, layer.mean.shape[0]), np.float64) for layer in self.standardised]
        counts = [0] * len(sums)
        for start in range(0, len(images), _CALIBRATION_BATCH):
            for level, maps in enumerate(
                self._trunk_maps(ops.convert_to_tensor(images[start : start + _CALIBRATION_BATCH]))
            ):
                rows = ops.convert_to_numpy(maps).reshape(-1, maps.shape[-1]).astype(np.float64)
                sums[level] += rows.sum(0), (rows**2).sum(0)
                counts[level] += len(rows)
        for layer, (total, squares), count in zip(self.standardised, sums, counts, strict=True):
            mean = total / count
            spread = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
            layer.mean.assign(mean)
            layer.gain.assign(1.0 / np.maximum(spread, 1e-3 * max(float(spread.max()), 1e-6)))

    @property
    def learnt(self) -> list[Any]:
        """All weights but the trunk's, in an order of their own: what a weights file and a checkpoint hold."""
        parts = [*self.standardised, self.mixing, *self.heads, *self.projections, *self.places]
        return [weight for part in parts for weight in part.weights]

    def save_weights(self, filepath: Any, **kwargs: Any) -> None:
        """Writes all weights but the trunk's."""
        _Listed(self.learnt).save_weights(filepath, **kwargs)

    def load_weights(self, filepath: Any, **kwargs: Any) -> None:
        """Reads what `save_weights` wrote; the trunk has its own already.

        Raises:
            ValueError: if they are of another discriminator.
        """
        _Listed(self.learnt).load_weights(filepath, **kwargs)

    def _trunk_maps(self, images: Any) -> list[Any]:
        if self._resizes:
            images = ops.image.resize(images, self._size, interpolation="bilinear")
        return list(self.trunk(images, training=False))


class _Listed(keras.Model):
    """Gives Keras's weights files a list of weights, by their numbers."""

    def __init__(self, weights: list[Any]) -> None:
        super().__init__(name="learnt")
        self._listed: Callable[[], list[Any]] = lambda: weights  # not tracked, and so not written a second time
        self.built = True

    def save_own_variables(self, store: Any) -> None:
        for number, weight in enumerate(self._listed()):
            store[str(number)] = weight.numpy()

    def load_own_variables(self, store: Any) -> None:
        shapes = [tuple(store[str(number)].shape) for number in range(len(store.keys()))]
        if shapes != [tuple(weight.shape) for weight in self._listed()]:
            raise ValueError("Weights must be those of this discriminator. They are of another. Give the right run.")
        for number, weight in enumerate(self._listed()):
            weight.assign(store[str(number)])


def picture_logits(places: list[Any]) -> Any:
    """float32 [B]: the mean over heads of the means over places, float32 [B, P] each."""
    means = [ops.mean(logits, axis=1) for logits in places]
    return sum(means[1:], means[0]) / len(means)


def _zoomed(image_size: tuple[int, int], zoom: float) -> tuple[int, int]:
    """The size at which the trunk sees pictures: no side below 32 pixels."""
    zoom = max(zoom, _SMALLEST_TRUNK_SIDE / min(image_size))
    height, width = (round(side * zoom) for side in image_size)
    return height, width


def _mixing(shapes: list[tuple[int, ...]], channels: int) -> keras.Model:
    """Fixed random convolutions with variance-keeping weights, coarse to fine."""
    inputs = [keras.Input(shape) for shape in shapes]
    mixed = [
        _random_convolution(channels * width, 1, f"channels_{level}")(maps)
        for level, (maps, width) in enumerate(zip(inputs, _WIDTHS, strict=True))
    ]
    outputs = [mixed[-1]]
    for level in reversed(range(len(mixed) - 1)):
        height, width, filters = mixed[level].shape[1:]
        coarser = layers.Resizing(height, width, interpolation="bilinear")(outputs[0])
        coarser = _random_convolution(filters, 3, f"scales_{level}")(coarser)
        outputs.insert(0, (mixed[level] + coarser) * 0.5**0.5)
    model = keras.Model(inputs, outputs, name="mixing")
    model.trainable = False
    return model


def _random_convolution(filters: int, size: int, name: str) -> layers.Layer:
    weights = keras.initializers.VarianceScaling(1.0, mode="fan_in", distribution="untruncated_normal")
    return layers.Conv2D(filters, size, padding="same", use_bias=False, kernel_initializer=weights, name=name)


def _head(size: tuple[int, int, int], width: int, level: int) -> keras.Model:
    maps = keras.Input(size)
    hidden = _spectral(maps, width, 3, strides=1 if max(size[:2]) <= 4 else 2)
    while max(hidden.shape[1:3]) > 4:
        width = min(2 * width, 256)
        hidden = _spectral(hidden, width, 3, strides=2)
    return keras.Model(maps, hidden, name=f"head_{level}")


def _pixel_head(size: tuple[int, int, int], channels: int) -> keras.Model:
    """Looks at patches of ten pixels a side, more than which only the trunk's heads see."""
    images = keras.Input(size)
    hidden = _spectral(images, max(channels // 2, 1), 4, strides=2)
    return keras.Model(images, _spectral(hidden, channels, 4, strides=2), name="pixel_head")


def _spectral(hidden: Any, filters: int, size: int, *, strides: int) -> Any:
    convolution = SpectralConv2D(filters, size, strides=strides, padding="same", kernel_initializer="glorot_normal")
    return layers.LeakyReLU(0.2)(convolution(hidden))
