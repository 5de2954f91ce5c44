"""A frozen trunk, opened: what it sees at 1/4, 1/8, 1/16 and 1/32 of a picture's size."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from tfdvbpr.errors import ConfigError
from tfdvbpr.models.backbones import FEATURE_NETWORKS

_STRIDES = (4, 8, 16, 32)
# Where a stage of EfficientNet-Lite0 ends: what the named layer takes in, before it is widened again.
_LITE0_TAPS = ("blocks.3._expand_conv", "blocks.5._expand_conv", "blocks.11._expand_conv", "conv_head")


def check_trunk(name: str) -> None:
    """Refuses a name that is not in FEATURE_NETWORKS.

    Raises:
        ConfigError: naming what may be given.
    """
    if name not in FEATURE_NETWORKS or name == "efficientnet_lite0_pyramid":
        raise ConfigError(
            "`trunk` must be efficientnet_lite0 or a model of keras.applications such as MobileNetV2. "
            f"Received {name!r}."
        )


def trunk_levels(name: str, image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """The maps of a trunk at four sizes, nothing of it trainable.

    Batch normalisation that follows a convolution is folded into it: the same numbers in half the time, forward and
    back, since none of it moves.

    Args:
        name: a name in FEATURE_NETWORKS.
        image_size: (height, width) in pixels, at least 32×32.
        imagenet: ImageNet weights, or random ones.

    Returns:
        A model from float32 [B, H, W, 3] in [-1, 1] to a list of four maps, float32 [B, ⌈H/s⌉, ⌈W/s⌉, C] for s of 4,
        8, 16, 32.

    Raises:
        ConfigError: if the trunk is unknown, cannot see pictures so small, has no map of one of these sizes, or its
            weights cannot be had.
    """
    check_trunk(name)
    whole = FEATURE_NETWORKS[name](image_size, imagenet=imagenet)
    inner = next((layer for layer in whole.layers if isinstance(layer, keras.Model)), None)
    if inner is None:
        levels = folded(keras.Model(whole.input, [whole.get_layer(tap).input for tap in _LITE0_TAPS]))
    else:  # preprocessing, then a model of keras.applications
        seen = folded(keras.Model(inner.input, _last_of_each_size(name, inner, image_size)))
        levels = keras.Model(whole.input, seen(whole.layers[1](whole.input)))
    levels.trainable = False
    return levels


def _last_of_each_size(name: str, model: keras.Model, image_size: tuple[int, int]) -> list[Any]:
    found: dict[tuple[int, int], Any] = {}
    for layer in model.layers:
        shape: tuple[int, ...] = tuple(getattr(layer.output, "shape", ()))
        if len(shape) == 4:
            found[shape[1], shape[2]] = layer.output
    taps = []
    for stride in _STRIDES:
        size = (-(-image_size[0] // stride), -(-image_size[1] // stride))
        if size not in found:
            raise ConfigError(
                f"`trunk` must have a map of 1/{stride} of the picture's size. {name} has none of {size[0]}x{size[1]}. "
                "Take efficientnet_lite0 or MobileNetV2."
            )
        taps.append(found[size])
    return taps


def folded(model: keras.Model) -> keras.Model:
    """The same function, in inference mode, with batch normalisation that follows a convolution folded into it.

    Args:
        model: functional.
    """
    convolutions = {
        layer.output._keras_history.operation.name: before
        for layer in model.layers
        if isinstance(layer, layers.BatchNormalization) and (before := _convolution_before(layer)) is not None
    }
    widened = {convolution.name for convolution in convolutions.values()}

    def clone(layer: layers.Layer) -> layers.Layer:
        config = layer.get_config()
        if layer.name in convolutions:
            return layers.Identity(name=layer.name)
        if layer.name in widened:
            config["use_bias"] = True
        return type(layer).from_config(config)

    copy = keras.models.clone_model(
        model, clone_function=clone, call_function=lambda layer, *inputs, **_: layer(*inputs)
    )
    normalisations = {convolution.name: model.get_layer(name) for name, convolution in convolutions.items()}
    for layer in model.layers:
        if layer.name in normalisations:
            copy.get_layer(layer.name).set_weights(_folded_weights(layer, normalisations[layer.name]))
        elif layer.name not in convolutions and layer.weights:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def _convolution_before(normalisation: layers.BatchNormalization) -> layers.Layer | None:
    """The convolution whose output goes into this normalisation and nowhere else."""
    convolution = normalisation.input._keras_history.operation
    alone = isinstance(convolution, layers.Conv2D | layers.DepthwiseConv2D) and len(convolution._outbound_nodes) == 1
    linear = alone and convolution.activation is keras.activations.linear
    return convolution if linear else None


def _folded_weights(convolution: layers.Layer, normalisation: layers.BatchNormalization) -> list[Any]:
    """γ/√(σ² + ε) · W and β + (b - μ) · γ/√(σ² + ε)."""
    kernel, *rest = convolution.get_weights()
    bias = rest[0] if rest else 0.0
    variance = normalisation.moving_variance.numpy()
    gain = 1.0 / np.sqrt(variance + normalisation.epsilon)
    if normalisation.scale:
        gain = gain * normalisation.gamma.numpy()
    shift = normalisation.beta.numpy() if normalisation.center else 0.0
    depthwise = isinstance(convolution, layers.DepthwiseConv2D)  # [h, w, C, multiplier]
    scaled = kernel * (gain.reshape(kernel.shape[2:]) if depthwise else gain)
    return [scaled, shift + (bias - normalisation.moving_mean.numpy()) * gain]
