"""CNNs from images to embeddings: one file a backbone, one entry in BACKBONES.

FEATURE_NETWORKS lists those with ImageNet weights without their head, from images to features; `base` puts a head on
them.
"""

from __future__ import annotations

from functools import partial

import keras

from tfdvbpr.errors import check_choice
from tfdvbpr.models.backbones.base import Backbone, BackboneOptions, FeatureNetwork, with_head
from tfdvbpr.models.backbones.cnn_f import cnn_f
from tfdvbpr.models.backbones.efficientnet_lite import efficientnet_lite, efficientnet_lite0_pyramid
from tfdvbpr.models.backbones.keras_applications import application, application_names
from tfdvbpr.models.backbones.small_cnn import small_cnn
from tfdvbpr.registry import Registry

FEATURE_NETWORKS: dict[str, FeatureNetwork] = {
    "efficientnet_lite0": partial(efficientnet_lite, "efficientnet_lite0"),
    "efficientnet_lite0_pyramid": efficientnet_lite0_pyramid,
    "efficientnet_lite2": partial(efficientnet_lite, "efficientnet_lite2"),
    **{name: partial(application, name) for name in application_names()},
}

BACKBONES: Registry[Backbone] = Registry(
    "tfdvbpr.backbones",
    {
        "small_cnn": small_cnn,
        "cnn_f": cnn_f,
        **{name: with_head(network) for name, network in FEATURE_NETWORKS.items()},
    },
)


def build_backbone(name: str, image_size: tuple[int, int], options: BackboneOptions) -> keras.Model:
    """Build the named backbone for images of (height, width) pixels.

    Raises:
        ConfigError: if there is no such backbone, the images are too small for it, or its weights are not installed.
    """
    check_choice("backbone", name, BACKBONES)
    return BACKBONES[name](image_size, options)


__all__ = ["BACKBONES", "FEATURE_NETWORKS", "Backbone", "BackboneOptions", "build_backbone"]
