"""How a backbone is built: its options, what of it is trained, and the head on top of a pretrained network."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import keras
from keras import layers

from tfdvbpr.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class BackboneOptions:
    """How a backbone is built and how much of it is trained.

    Attributes:
        embedding_dim: length of Φ(x).
        dropout: rate before the last layer.
        l2: λ of the added ½λ‖W‖², on trained weights and not on biases.
        head_units: units of a hidden layer between a pretrained network and Φ; 0 for none. Other backbones have none.
        pretrained: begin with ImageNet weights where the backbone has any; False begins with random ones.
        trainable: how much is trained below the last layer, which always is: "all", "none", or "last:N" for the last N
            convolutions or dense layers and what follows them. Batch normalisation that is not trained stays in
            inference mode.
    """

    embedding_dim: int
    dropout: float = 0.0
    l2: float = 0.0
    head_units: int = 0
    pretrained: bool = True
    trainable: str = "all"


class Backbone(Protocol):
    """Builds a model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, embedding_dim]."""

    def __call__(self, image_size: tuple[int, int], options: BackboneOptions) -> keras.Model:
        """Build it for images of (height, width) pixels.

        Raises:
            ConfigError: if the images are too small for it, or its weights are not installed.
        """


Builder = TypeVar("Builder", bound=Callable[..., keras.Model])


def intended_for(height: int, width: int) -> Callable[[Builder], Builder]:
    """Mark a backbone as meant for images of a size; training warns where they have another."""

    def mark(build: Builder) -> Builder:
        vars(build)["intended_image_size"] = (height, width)
        return build

    return mark


class FeatureNetwork(Protocol):
    """Builds a model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, F], with its own preprocessing inside."""

    def __call__(self, image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
        """See `efficientnet_lite` for the arguments and errors."""


class PretrainedBackbone(keras.Model):
    """Φ = head(network(X)) of a `FeatureNetwork` and a head from float32 [B, F] to float32 [B, embedding_dim].

    The head standardises the features, drops out, embeds them linearly or, by choice, through a hidden layer, and
    standardises the embedding as `small_cnn` does. A network that is not trained gives an image the same features in
    the whole training, so training may compute them once and call this model with them.
    """

    def __init__(self, network: keras.Model, head: keras.Model) -> None:
        super().__init__(name=f"{network.name}_backbone")
        self.network = network
        self.head = head
        self.built = True

    @property
    def is_frozen(self) -> bool:
        """Whether nothing of the network is trained."""
        return not self.network.trainable_weights

    def call(self, images: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """float32 [B, D] from images, float32 [B, H, W, 3], or from features of the network, float32 [B, F]."""
        are_images = len(images.shape) == 4
        features = self.network(images, training=training and not self.is_frozen) if are_images else images
        return self.head(features, training=training)


def with_head(build_network: FeatureNetwork) -> Backbone:
    """A backbone from a network without a head."""

    def build(image_size: tuple[int, int], options: BackboneOptions) -> keras.Model:
        network = build_network(image_size, imagenet=options.pretrained)
        freeze(_flat(network), options.trainable)
        head = [
            keras.Input(network.output_shape[1:], name="features"),
            standardised(),
            layers.Dropout(options.dropout),
            *(_hidden(options) if options.head_units else ()),
            layers.Dense(options.embedding_dim),
            standardised(),
        ]
        model = PretrainedBackbone(network, keras.Sequential(head, name="head"))
        penalise(model, options.l2)
        return model

    return build


def without_head(backbone: keras.Model) -> keras.Model:
    """The network below the head of a `PretrainedBackbone`; any other backbone itself."""
    return backbone.network if isinstance(backbone, PretrainedBackbone) else backbone


def frozen_network(backbone: keras.Model) -> keras.Model | None:
    """The network of a `PretrainedBackbone` of which nothing below the head is trained; None for any other."""
    return backbone.network if isinstance(backbone, PretrainedBackbone) and backbone.is_frozen else None


def standardised() -> layers.Layer:
    """Mean 0 and variance 1 a dimension, without weights."""
    return layers.BatchNormalization(momentum=0.9, synchronized=True, center=False, scale=False)


def freeze_below_head(model: keras.Model, trainable: str) -> keras.Model:
    """`freeze` all layers before a model's last dense layer; returns the model."""
    dense = [number for number, layer in enumerate(model.layers) if isinstance(layer, keras.layers.Dense)]
    freeze(model.layers[: dense[-1]], trainable)
    return model


def freeze(below: Sequence[keras.layers.Layer], trainable: str) -> None:
    """Leave "all", "none" or "last:N" of the layers, given from the images on, trainable; see `BackboneOptions`.

    A layer counts among N if it has a kernel. Keras runs a batch normalisation that is not trainable in inference mode:
    neither its weights nor its means move.

    Raises:
        ConfigError: if it is none of these.
    """
    match = re.fullmatch(r"all|none|last:([1-9]\d*)", trainable)
    if match is None:
        raise ConfigError(f"`backbone_trainable` must be all, none or last:N, such as last:4. Received {trainable!r}.")
    if trainable == "all":
        return
    counted = [number for number, layer in enumerate(below) if kernels(layer)]
    kept = int(match[1] or 0)
    first = len(below) if not kept else counted[-kept] if kept <= len(counted) else 0
    for layer in below[:first]:
        layer.trainable = False


def kernels(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The weights that multiply: neither biases nor those of a normalisation."""
    return [weight for weight in layer.weights if weight.name.endswith("kernel")]


def penalise(model: keras.Model, l2: float) -> None:
    """Add ½ l2 ‖W‖² to `model.losses` for every kernel; Keras leaves out those that are not trained."""
    if l2:
        for kernel in kernels(model):
            kernel.regularizer = keras.regularizers.L2(0.5 * l2)


def _hidden(options: BackboneOptions) -> tuple[layers.Layer, ...]:
    return (
        layers.Dense(options.head_units, use_bias=False),
        layers.BatchNormalization(momentum=0.9, synchronized=True),
        layers.LeakyReLU(0.1),
        layers.Dropout(options.dropout),
    )


def _flat(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model and of the models in it, in order."""
    return [part for layer in model.layers for part in (_flat(layer) if isinstance(layer, keras.Model) else [layer])]
