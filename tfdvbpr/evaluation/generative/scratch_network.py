"""A network trained from scratch on a dataset's photos: an extractor that shares nothing with ImageNet networks."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers

from tfdvbpr.data.chunks import map_chunks
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.data.images.silhouettes import silhouettes
from tfdvbpr.evaluation.generative import category_classifier as classifier
from tfdvbpr.evaluation.generative.category_classifier import PhotoSplit, Progress, photo_batches, resized
from tfdvbpr.files import whole_directory

SCRATCH = "scratch"  # its name among extractors
FOLDER = "scratch_network"
COLOUR_LABEL = "dominant colour"
EPOCHS = 20
_LEARNING_RATE = 2e-3  # of Adam at the start; it falls to 0 by a cosine
_WEIGHTS_NAME, _ABOUT_NAME = "scratch.weights.h5", "scratch.json"
_VERSION = 1
_FILTERS = (32, 64, 128, 192)
_DROPOUT = 0.3
_TONES = 4  # of a channel, of the dominant colour
_MAX_CLASSES = 200
_SEED = 1
_BATCH = 128
_log = logging.getLogger(__name__)

Labels = Mapping[str, npt.NDArray[np.int64]]


@dataclass(eq=False)
class ScratchNetwork:
    """A small residual network, from images to the means over its last map: a FeatureExtractor.

    It was trained to predict every label of `photo_labels` of the dataset's own photos at once, from random weights. An
    ImageNet network prefers images of generators that were trained against another one (Kynkäänniemi et al. 2023); this
    one knows of neither, but of one dataset alone: compare its metrics only on that dataset.

    Attributes:
        model: float32 [B, H, W, 3] in [-1, 1] to float32 [B, F].
        accuracy: share of held-out photos of which it predicts a label correctly, by label.
    """

    model: keras.Model
    accuracy: dict[str, float] = field(default_factory=dict)

    @cached_property
    def version(self) -> int:
        """A number of the weights: features of a network that was trained anew are computed anew."""
        digest = sha256(b"".join(np.ascontiguousarray(value).tobytes() for value in self.model.get_weights()))
        return _VERSION * 10**9 + int(digest.hexdigest()[:7], 16)

    def feature_dim(self, image_size: tuple[int, int]) -> int:
        """F, whatever the size."""
        return int(self.model.output_shape[-1])

    @cached_property
    def _features(self) -> Any:
        images = tf.TensorSpec(self.model.input_shape, tf.uint8)
        return tf.function(
            lambda images: self.model(to_float(images), training=False), input_signature=[images], autograph=False
        )

    def __call__(self, images_uint8: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """float32 [B, F] of uint8 [B, H, W, 3]."""
        return map_chunks(self._features, images_uint8, chunk_rows=_BATCH)


def scratch_network(dataset: PreparedDataset, split: PhotoSplit, *, progress: Progress | None = None) -> ScratchNetwork:
    """Trains the network on the photos of the split, or reads it from the dataset's folder.

    It is cached there under its version, the image size and the dataset's fingerprint. The held-out photos are those of
    the category classifier, and no label of them is used.
    """
    labels = photo_labels(dataset)
    size = dataset.manifest.image_size
    folder = dataset.path / FOLDER / f"{_VERSION}-{size[0]}x{size[1]}-{dataset.manifest.fingerprint}"
    features, heads = _build(size, [int(ids.max()) + 1 for ids in labels.values()])
    with suppress(OSError, ValueError, KeyError):  # not there, or damaged
        accuracy = json.loads((folder / _ABOUT_NAME).read_text(encoding="utf-8"))["accuracy"]
        features.load_weights(folder / _WEIGHTS_NAME)
        return ScratchNetwork(features, accuracy)
    _train(heads, dataset, split, labels, progress)
    network = ScratchNetwork(features, _accuracy(heads, dataset, split, labels))
    _log.info("Trained a network from scratch on %d photos. %s", len(split.train), accuracy_text(network.accuracy))
    # The dataset's folder may be read-only; the network is valid all the same.
    with suppress(OSError), whole_directory(folder, if_exists="overwrite") as scratch:
        features.save_weights(scratch / _WEIGHTS_NAME)
        about = {"accuracy": network.accuracy, "classes": {name: int(ids.max()) + 1 for name, ids in labels.items()}}
        (scratch / _ABOUT_NAME).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return network


def accuracy_text(accuracy: Mapping[str, float]) -> str:
    """The accuracies as a sentence.

    Example:
        >>> accuracy_text({"category": 0.9, "gender": 0.875})
        'Its accuracy on held-out photos: category 90.0%, gender 87.5%.'
    """
    return f"Its accuracy on held-out photos: {', '.join(f'{name} {each:.1%}' for name, each in accuracy.items())}."


def photo_labels(dataset: PreparedDataset) -> Labels:
    """What the network predicts of a photo, by the label's name: int64 [num_items], -1 where a class is too rare.

    The category, the dominant colour, and every further column of items.csv whose values repeat: values of at least 20
    photos each, 2 to 200 of them, that cover at least half of the photos. Ids, titles and prices do not.
    """
    table = dataset.items.table
    read = dataset.images.read
    rows = np.arange(dataset.manifest.num_items)
    columns = {name: table[name].to_numpy() for name in table.columns if name not in ("item_id", "category")}
    columns = {name: np.array([str(value or "") for value in values]) for name, values in columns.items()}
    found = {"category": _classes(dataset.items.category_ids)}
    found[COLOUR_LABEL] = _classes(map_chunks(lambda chunk: dominant_colours(read(chunk)), rows, chunk_rows=1024))
    for name, values in columns.items():
        ids = _classes(values, missing="")
        if 1 <= ids.max() < _MAX_CLASSES and (ids >= 0).mean() >= 0.5:
            found[name] = ids
    return found


def _classes(values: npt.NDArray[Any], missing: Any = None) -> npt.NDArray[np.int64]:
    """Numbers of the values that are frequent enough, in their order; -1 for the others."""
    names, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    frequent = (counts >= classifier.MIN_PHOTOS) & (names != missing)
    numbers = np.where(frequent, np.cumsum(frequent) - 1, -1)
    return numbers[inverse].astype(np.int64)


def dominant_colours(images_uint8: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """int64 [N] in [0, 64): the most frequent colour of each silhouette, of 4 tones a channel; red varies slowest.

    Example:
        >>> image = np.full((1, 8, 8, 3), 255, np.uint8)
        >>> image[0, 2:6, 2:6] = (200, 70, 10)
        >>> dominant_colours(image).tolist()  # 3 · 16 + 1 · 4 + 0
        [52]
    """
    tones = (images_uint8 // (256 // _TONES)).astype(np.int64)
    codes = (tones[..., 0] * _TONES + tones[..., 1]) * _TONES + tones[..., 2]
    masks = silhouettes(images_uint8)
    masks |= ~masks.any(axis=(1, 2), keepdims=True)  # an empty silhouette: the whole image
    counts = [np.bincount(code[mask], minlength=_TONES**3) for code, mask in zip(codes, masks, strict=True)]
    return np.array(counts).argmax(axis=1)


def _build(image_size: tuple[int, int], num_classes: list[int]) -> tuple[keras.Model, keras.Model]:
    """The network up to its features, and with a linear head for each label."""
    keras.utils.set_random_seed(_SEED)
    images = keras.Input((*image_size, 3), name="images")
    hidden = _block(resized(images, image_size), _FILTERS[0], strides=2)
    for filters in _FILTERS[1:]:
        hidden = _block(hidden, filters, strides=2)
        hidden = layers.Add()([hidden, _block(hidden, filters, strides=1)])
    features = layers.GlobalAveragePooling2D(name="features")(hidden)
    dropped = layers.Dropout(_DROPOUT)(features)
    heads = [layers.Dense(count, name=f"head_{number}")(dropped) for number, count in enumerate(num_classes)]
    return keras.Model(images, features, name="scratch_network"), keras.Model(images, heads)


def _block(hidden: Any, filters: int, *, strides: int) -> Any:
    hidden = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(hidden)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(hidden))


def _train(
    heads: keras.Model, dataset: PreparedDataset, split: PhotoSplit, labels: Labels, progress: Progress | None
) -> None:
    steps = max(len(split.train) // _BATCH, 1) * EPOCHS
    losses = [keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1) for _ in labels]
    heads.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)),
        loss=losses,
        jit_compile=False,  # compiling costs more than it saves on so few steps
    )
    for number, (images, rows) in enumerate(photo_batches(dataset, split.train, epochs=EPOCHS, seed=_SEED), start=1):
        heads.train_on_batch(images, [ids[rows] for ids in labels.values()])
        if progress is not None:
            progress(number, steps)


def _accuracy(heads: keras.Model, dataset: PreparedDataset, split: PhotoSplit, labels: Labels) -> dict[str, float]:
    """Share of held-out photos with a frequent value whose value each head predicts."""
    predicted: list[list[Any]] = [[] for _ in labels]
    for rows in np.array_split(split.held_out, max(len(split.held_out) // _BATCH, 1)):
        for found, logits in zip(predicted, heads(to_float(dataset.images.read(rows)), training=False), strict=True):
            found.append(np.argmax(logits, axis=1))
    accuracy = {}
    for (name, ids), found in zip(labels.items(), predicted, strict=True):
        known = ids[split.held_out] >= 0
        accuracy[name] = float((np.concatenate(found) == ids[split.held_out])[known].mean()) if known.any() else np.nan
    return accuracy
