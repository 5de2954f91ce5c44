"""A discriminator on the features of a frozen pretrained backbone: projected GAN, conditional."""

from __future__ import annotations

from typing import Any

import h5py
import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from tfdvbpr.errors import ConfigError
from tfdvbpr.models.backbones import FEATURE_NETWORKS
from tfdvbpr.models.backbones.efficientnet_lite import lite_weights_file
from tfdvbpr.models.gans.discriminator import Discriminator, Features, PatchLogits
from tfdvbpr.models.gans.layers import CategoryProjection, SpectralConv2D, leaky_relu

_BACKBONE = "efficientnet_lite0"
# Where a stage of EfficientNet-Lite0 ends: the input of the named layer, before it is widened again.
_TAPS = ("blocks.3._expand_conv", "blocks.5._expand_conv", "blocks.11._expand_conv", "conv_head")
_WIDTHS = (1, 1, 2, 4)
_SMALLEST_BACKBONE_SIDE = 32
_CALIBRATION_BATCH = 64


class FixedStandardization(layers.Layer):
    """Mean 0 and variance 1 a channel, by statistics that are set once and then fixed."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the statistics; until they are set they change nothing."""
        channels = (input_shape[-1],)
        self.mean = self.add_weight(name="mean", shape=channels, initializer="zeros", trainable=False)
        self.gain = self.add_weight(name="gain", shape=channels, initializer="ones", trainable=False)
        self.built = True

    def call(self, maps: Any) -> Any:
        """float32 [B, h, w, C], both."""
        return (maps - self.mean) * self.gain


class ProjectedDiscriminator(Discriminator):
    """Small heads on fixed, randomly mixed features of a frozen backbone: Sauer et al. 2021, conditional.

    EfficientNet-Lite0's maps at 1/4 to 1/32 of the image are standardised, mixed across channels (random 1×1
    convolutions) and across scales (each is joined by the next coarser one, enlarged, through a random 3×3
    convolution); none of this is trained. On each stands a head of its own: convolutions with spectral normalisation,
    stride 2, until at most four positions a side are left, then a logit a patch, part of which is the category
    projection.

    Different from the paper: spectral normalisation in the place of batch normalisation in the heads, so that an
    image's logit depends on no other image; channels standardised by statistics of the real photos; a category; and a
    further small head on the pixels themselves, for grids and noise, to which a network trained for classification is
    blind. The weights file leaves the backbone out.

    Raises:
        ConfigError: if the backbone's weights are unavailable.
    """

    pretrained_backbone = _BACKBONE

    def __init__(
        self, image_size: tuple[int, int], *, num_categories: int, base_channels: int, imagenet: bool = True
    ) -> None:
        super().__init__(name="projected_discriminator")
        scale = max(1.0, _SMALLEST_BACKBONE_SIDE / min(image_size))
        self._backbone_size = (round(image_size[0] * scale), round(image_size[1] * scale))
        self._resizes = scale > 1.0
        self.backbone = feature_pyramid(self._backbone_size, imagenet=imagenet)
        channels = [output.shape[-1] for output in self.backbone.outputs]
        self.standardized = [FixedStandardization(name=f"standardized_{level}") for level in range(len(channels))]
        for layer, width in zip(self.standardized, channels, strict=True):
            layer.build((None, None, None, width))
        self.mixing = _mixing([output.shape[1:] for output in self.backbone.outputs], base_channels)
        inputs = [output.shape[1:] for output in self.mixing.outputs]
        self.heads = [_head(size, min(size[-1] * 2, 256), level) for level, size in enumerate(inputs)]
        self.heads.append(_pixel_head((*image_size, 3), base_channels))
        self.projections = [CategoryProjection(num_categories, name=f"category_{n}") for n in range(len(self.heads))]
        self.patches = [
            SpectralConv2D(1, 3, padding="same", kernel_initializer="glorot_normal", name=f"patch_{n}")
            for n in range(len(self.heads))
        ]
        for head, projection, patch in zip(self.heads, self.projections, self.patches, strict=True):
            projection.build([head.output_shape, (None,)])
            patch.build(head.output_shape)
        self.built = True

    @classmethod
    def check_available(cls) -> None:
        """See `Discriminator.check_available`."""
        try:
            lite_weights_file(_BACKBONE)
        except ConfigError as error:
            raise ConfigError(f"{error} Or take `--preset plain`, which needs none.") from None

    def features(self, images: Any) -> Features:
        """The mixed maps at 1/4 to 1/32 of the image, and the images."""
        maps = zip(self.standardized, self._backbone_maps(images), strict=True)
        return [*self.mixing([layer(each) for layer, each in maps]), images]

    def logits(self, features: Features, category_ids: Any, *, training: bool = False) -> PatchLogits:
        """See `Discriminator.logits`; at most sixteen patches a head, more for the pixels' head."""
        return self._classify(self._embed(features, training=training), category_ids, training=training)

    def training_logits(
        self, real: Features, fake: Features, category_ids: Any, other_ids: Any | None
    ) -> tuple[PatchLogits, PatchLogits, PatchLogits | None]:
        """See `Discriminator.training_logits`; one pass for all, since no row depends on another."""
        hidden = self._embed([ops.concatenate(maps, axis=0) for maps in zip(real, fake, strict=True)], training=True)
        ids = [category_ids, category_ids]
        if other_ids is not None:
            size = ops.shape(other_ids)[0]
            hidden = [ops.concatenate([maps, maps[:size]], axis=0) for maps in hidden]
            ids.append(other_ids)
        logits = self._classify(hidden, ops.concatenate(ids, axis=0), training=True)
        parts = [ops.split(head, len(ids), axis=0) for head in logits]
        by_kind = [list(part) for part in zip(*parts, strict=True)]
        return by_kind[0], by_kind[1], by_kind[2] if other_ids is not None else None

    def _embed(self, features: Features, *, training: bool) -> Features:
        """The heads' last hidden maps."""
        return [head(maps, training=training) for head, maps in zip(self.heads, features, strict=True)]

    def _classify(self, hidden: Features, category_ids: Any, *, training: bool) -> PatchLogits:
        return [
            ops.reshape(
                patch(maps, training=training) + projection([maps, category_ids], training=training),
                (-1, maps.shape[1] * maps.shape[2]),
            )
            for maps, patch, projection in zip(hidden, self.patches, self.projections, strict=True)
        ]

    def calibrate(self, images: npt.NDArray[np.float32]) -> None:
        """Standardises the backbone's channels by real images, float32 [N, H, W, 3] in [-1, 1]."""
        sums = [np.zeros((2, layer.mean.shape[0]), np.float64) for layer in self.standardized]
        counts = [0] * len(sums)
        for start in range(0, len(images), _CALIBRATION_BATCH):
            batch = ops.convert_to_tensor(images[start : start + _CALIBRATION_BATCH])
            for level, maps in enumerate(self._backbone_maps(batch)):
                rows = ops.convert_to_numpy(maps).reshape(-1, maps.shape[-1]).astype(np.float64)
                sums[level] += rows.sum(0), (rows**2).sum(0)
                counts[level] += len(rows)
        for layer, (total, squares), count in zip(self.standardized, sums, counts, strict=True):
            mean = total / count
            deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
            layer.mean.assign(mean)
            layer.gain.assign(1.0 / np.maximum(deviation, 1e-3 * max(float(deviation.max()), 1e-6)))

    @property
    def own_weights(self) -> list[Any]:
        """All weights but the backbone's, in the order of the weights file."""
        parts = [*self.standardized, self.mixing, *self.heads, *self.projections, *self.patches]
        return [weight for part in parts for weight in part.weights]

    def save_weights(self, filepath: Any, **kwargs: Any) -> None:
        """Writes `own_weights` by their numbers."""
        with h5py.File(filepath, "w") as file:
            for number, weight in enumerate(self.own_weights):
                file[str(number)] = weight.numpy()

    def load_weights(self, filepath: Any, **kwargs: Any) -> None:
        """Reads what `save_weights` wrote; the backbone has its weights already.

        Raises:
            ValueError: if they are of another discriminator.
        """
        with h5py.File(filepath) as file:
            arrays = [np.asarray(file[str(number)]) for number in range(len(file))]
        if [array.shape for array in arrays] != [tuple(weight.shape) for weight in self.own_weights]:
            raise ValueError("Weights must be those of this discriminator. They are of another. Give the right run.")
        for weight, array in zip(self.own_weights, arrays, strict=True):
            weight.assign(array)

    def _backbone_maps(self, images: Any) -> list[Any]:
        if self._resizes:
            images = ops.image.resize(images, self._backbone_size, interpolation="bilinear")
        return list(self.backbone(images, training=False))


def _mixing(shapes: list[tuple[int, ...]], channels: int) -> keras.Model:
    """Fixed random convolutions with variance-keeping weights, coarse to fine."""
    inputs = [keras.Input(shape) for shape in shapes]
    mixed = [
        _random_convolution(channels * width, 1, f"channels_{level}")(maps)
        for level, (maps, width) in enumerate(zip(inputs, _WIDTHS, strict=True))
    ]
    outputs = [mixed[-1]]
    for level in reversed(range(len(mixed) - 1)):
        height, width, filters = mixed[level].shape[1:]
        coarser = layers.Resizing(height, width, interpolation="bilinear")(outputs[0])
        coarser = _random_convolution(filters, 3, f"scales_{level}")(coarser)
        outputs.insert(0, (mixed[level] + coarser) * 0.5**0.5)
    model = keras.Model(inputs, outputs, name="mixing")
    model.trainable = False
    return model


def _random_convolution(filters: int, size: int, name: str) -> layers.Layer:
    weights = keras.initializers.VarianceScaling(1.0, mode="fan_in", distribution="untruncated_normal")
    return layers.Conv2D(filters, size, padding="same", use_bias=False, kernel_initializer=weights, name=name)


def _head(size: tuple[int, int, int], width: int, level: int) -> keras.Model:
    maps = keras.Input(size)
    hidden = _spectral(maps, width, 3, strides=1 if max(size[:2]) <= 4 else 2)
    while max(hidden.shape[1:3]) > 4:
        width = min(2 * width, 256)
        hidden = _spectral(hidden, width, 3, strides=2)
    return keras.Model(maps, hidden, name=f"head_{level}")


def _pixel_head(size: tuple[int, int, int], channels: int) -> keras.Model:
    """Sees patches of ten pixels a side; the other heads see more."""
    images = keras.Input(size)
    hidden = _spectral(images, max(channels // 2, 1), 4, strides=2)
    return keras.Model(images, _spectral(hidden, channels, 4, strides=2), name="pixel_head")


def _spectral(hidden: Any, filters: int, size: int, *, strides: int) -> Any:
    convolution = SpectralConv2D(filters, size, strides=strides, padding="same", kernel_initializer="glorot_normal")
    return leaky_relu(convolution(hidden), 0.2)


def feature_pyramid(image_size: tuple[int, int], *, imagenet: bool) -> keras.Model:
    """EfficientNet-Lite0's maps at four sizes, frozen.

    Batch normalisation that follows a convolution is folded into it: the same numbers in half the time, forward and
    back.

    Returns:
        A model from float32 [B, H, W, 3] in [-1, 1] to a list of four maps, float32 [B, ⌈H/s⌉, ⌈W/s⌉, C] for s of 4,
        8, 16, 32.

    Raises:
        ConfigError: if the images are below 32×32, or the weights are unavailable.
    """
    whole = FEATURE_NETWORKS[_BACKBONE](image_size, imagenet=imagenet)
    pyramid = folded(keras.Model(whole.input, [whole.get_layer(tap).input for tap in _TAPS]))
    pyramid.trainable = False
    return pyramid


def folded(model: keras.Model) -> keras.Model:
    """A functional model in inference mode, with batch normalisation that follows a convolution folded into it."""
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
