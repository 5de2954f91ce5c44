"""CNNs from pixels to embeddings: one file a backbone, one entry in BACKBONES."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

import keras

from tfdvbpr.errors import ConfigError
from tfdvbpr.models.backbones.cnn_f import cnn_f
from tfdvbpr.models.backbones.options import Backbone, BackboneOptions, BackboneWeights
from tfdvbpr.models.backbones.pretrained import TRUNKS, TrunkAndHead, with_head
from tfdvbpr.models.backbones.small_cnn import small_cnn

BACKBONES: Mapping[str, Backbone] = MappingProxyType(
    {"small_cnn": small_cnn, "cnn_f": cnn_f, **{name: with_head(trunk) for name, trunk in TRUNKS.items()}}
)


def check_backbone(name: str) -> None:
    """Refuses a name that is not in BACKBONES.

    Raises:
        ConfigError: naming those that are near.
    """
    if name not in BACKBONES:
        near = "".join(f" Nearest: {', '.join(found)}." for found in [get_close_matches(name, BACKBONES)] if found)
        raise ConfigError(
            "`backbone` must be one of small_cnn, cnn_f, efficientnet_lite0, or a model of keras.applications such as "
            f"MobileNetV2. Received {name!r}.{near}"
        )


def build_backbone(name: str, image_size: tuple[int, int], options: BackboneOptions) -> keras.Model:
    """The named backbone.

    Args:
        name: in BACKBONES.
        image_size: (height, width) in pixels.
        options: see `BackboneOptions`.

    Raises:
        ConfigError: if there is no such backbone, it cannot see pictures so small, or its weights cannot be had.
    """
    check_backbone(name)
    return BACKBONES[name](image_size, options)


__all__ = [
    "BACKBONES",
    "TRUNKS",
    "Backbone",
    "BackboneOptions",
    "BackboneWeights",
    "TrunkAndHead",
    "build_backbone",
    "check_backbone",
]
