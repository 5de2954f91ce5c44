"""Off-the-shelf features of pictures: one entry in FEATURE_EXTRACTORS an extractor."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from tfdvbpr.errors import ConfigError
from tfdvbpr.models.backbones import TRUNKS
from tfdvbpr.models.features.colour_and_edges import ColourAndEdges
from tfdvbpr.models.features.extractor import FeatureExtractor
from tfdvbpr.models.features.network import NetworkFeatures

FEATURE_EXTRACTORS: Mapping[str, FeatureExtractor] = MappingProxyType(
    {"colour-and-edges": ColourAndEdges(), **{name: NetworkFeatures(name) for name in TRUNKS}}
)


def check_features(name: str) -> None:
    """Refuses a name that is not in FEATURE_EXTRACTORS.

    Raises:
        ConfigError: naming those that are near.
    """
    if name not in FEATURE_EXTRACTORS:
        found = get_close_matches(name, FEATURE_EXTRACTORS)
        near = f" Nearest: {', '.join(found)}." if found else ""
        raise ConfigError(
            "`features` must be one of colour-and-edges, efficientnet_lite0, or a model of keras.applications such as "
            f"MobileNetV2. Received {name!r}.{near}"
        )


__all__ = ["FEATURE_EXTRACTORS", "FeatureExtractor", "check_features"]
