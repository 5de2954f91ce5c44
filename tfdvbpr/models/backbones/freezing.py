"""Which weights are trained, and which are penalised."""

from __future__ import annotations

import re
from collections.abc import Sequence

import keras

from tfdvbpr.errors import ConfigError
from tfdvbpr.models.backbones.options import BackboneOptions


def scratch_only(name: str, options: BackboneOptions) -> None:
    """Refuses ImageNet weights for a backbone that has none.

    Raises:
        ConfigError: if they are asked for.
    """
    if options.weights == "imagenet":
        raise ConfigError(
            f"`backbone_weights` of {name} must be random or auto, for nobody has published others. Received imagenet. "
            "Take efficientnet_lite0 or a model of keras.applications."
        )


def freeze_below_head(model: keras.Model, trainable: str) -> keras.Model:
    """`freeze` on all that stands before a model's last dense layer; returns the model."""
    dense = [number for number, layer in enumerate(model.layers) if isinstance(layer, keras.layers.Dense)]
    freeze(model.layers[: dense[-1]], trainable)
    return model


def freeze(layers: Sequence[keras.layers.Layer], trainable: str) -> None:
    """Leaves "all", "none" or "last:N" of the layers trainable.

    Keras runs a batch normalisation that is not trainable in inference mode: neither its weights nor its means move.

    Args:
        layers: from the picture on.
        trainable: see `BackboneOptions`; a layer counts among N if it has a kernel.

    Raises:
        ConfigError: if it is none of these.
    """
    match = re.fullmatch(r"all|none|last:([1-9]\d*)", trainable)
    if match is None:
        raise ConfigError(f"`backbone_trainable` must be all, none or last:N, such as last:4. Received {trainable!r}.")
    if trainable == "all":
        return
    counted = [number for number, layer in enumerate(layers) if kernels(layer)]
    kept = int(match[1] or 0)
    first = len(layers) if not kept else counted[-kept] if kept <= len(counted) else 0
    for layer in layers[:first]:
        layer.trainable = False


def kernels(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The weights that multiply: neither biases nor what belongs to a normalisation."""
    return [weight for weight in layer.weights if weight.name.endswith("kernel")]


def penalise(model: keras.Model, l2: float) -> None:
    """Adds ½ l2 ‖W‖² to `model.losses` for every kernel; Keras leaves out those that are not trained."""
    if l2:
        for kernel in kernels(model):
            kernel.regularizer = keras.regularizers.L2(0.5 * l2)
