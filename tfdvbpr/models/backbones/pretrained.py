"""Networks that others trained, with a head of ours: a trunk, and a linear embedding of what it sees."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

import keras
from keras import layers

from tfdvbpr.models.backbones.efficientnet_lite import efficientnet_lite
from tfdvbpr.models.backbones.efficientnet_lite0 import efficientnet_lite0, efficientnet_lite0_levels
from tfdvbpr.models.backbones.freezing import freeze, penalise
from tfdvbpr.models.backbones.keras_applications import application, application_names
from tfdvbpr.models.backbones.options import Backbone, BackboneOptions


class Trunk(Protocol):
    """Builds a model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, F], with its own preprocessing inside."""

    def __call__(self, image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
        """See `efficientnet_lite0` for the arguments and errors."""
        ...


TRUNKS: Mapping[str, Trunk] = MappingProxyType(
    {
        "efficientnet_lite0": efficientnet_lite0,
        "efficientnet_lite0_levels": efficientnet_lite0_levels,
        "efficientnet_lite2": partial(efficientnet_lite, "efficientnet_lite2"),
        **{name: partial(application, name) for name in application_names()},
    }
)


class TrunkAndHead(keras.Model):
    """Φ = head(trunk(X)).

    The head standardises what the trunk sees, drops out, embeds it linearly or, by choice, through a hidden layer, and
    standardises the embedding as `small_cnn` does. A trunk of which nothing is trained sees a picture the same way for
    good, so training may put each picture through it once and give this model what it saw.

    Args:
        trunk: see `Trunk`.
        head: from float32 [B, F] to float32 [B, embedding_dim].
    """

    def __init__(self, trunk: keras.Model, head: keras.Model) -> None:
        super().__init__(name=f"{trunk.name}_backbone")
        self.trunk = trunk
        self.head = head
        self.built = True

    @property
    def trunk_is_frozen(self) -> bool:
        """Whether nothing of the trunk is trained."""
        return not self.trunk.trainable_weights

    def call(self, images: Any, training: bool = False) -> Any:
        """float32 [B, D] from pictures, float32 [B, H, W, 3], or from what the trunk saw of them, float32 [B, F]."""
        pictures = len(images.shape) == 4
        seen = self.trunk(images, training=training and not self.trunk_is_frozen) if pictures else images
        return self.head(seen, training=training)


def with_head(trunk: Trunk) -> Backbone:
    """A backbone from a trunk."""

    def build(image_size: tuple[int, int], options: BackboneOptions) -> keras.Model:
        below = trunk(image_size, imagenet=options.weights != "random")
        freeze(_flat(below), options.trainable)
        head = [
            keras.Input(below.output_shape[1:], name="seen"),
            _standardised(),
            layers.Dropout(options.dropout),
            *(_hidden(options) if options.head_units else ()),
            layers.Dense(options.embedding_dim),
            _standardised(),
        ]
        model = TrunkAndHead(below, keras.Sequential(head, name="head"))
        penalise(model, options.l2)
        return model

    return build


def _hidden(options: BackboneOptions) -> tuple[layers.Layer, ...]:
    return (
        layers.Dense(options.head_units, use_bias=False),
        layers.BatchNormalization(momentum=0.9, synchronized=True),
        layers.LeakyReLU(0.1),
        layers.Dropout(options.dropout),
    )


def _standardised() -> layers.Layer:
    """Mean 0 and variance 1 a dimension, without weights."""
    return layers.BatchNormalization(momentum=0.9, synchronized=True, center=False, scale=False)


def _flat(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model and of the models in it, in order."""
    return [part for layer in model.layers for part in (_flat(layer) if isinstance(layer, keras.Model) else [layer])]
