"""A classifier of categories, trained on a dataset's photos, that tells whether an image shows its category."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.chunks import map_chunks
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.augmentation import flip, shift
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.errors import DatasetError
from tfdvbpr.files import whole_directory
from tfdvbpr.models.backbones import BackboneOptions, build_backbone

FOLDER = "classifier"
MIN_PHOTOS = 20  # categories with fewer are left out
HELD_OUT = 0.2  # share of each category's photos that the classifier is tested on and not trained on
EPOCHS = 16
_LEARNING_RATE = 2e-3  # of Adam at the start; it falls to 0 by a cosine
_WEIGHTS_NAME, _ACCURACY_NAME = "classifier.weights.h5", "classifier.json"
_VERSION = 2
_SIDE = 64
_UNITS = 128
_DROPOUT = 0.3
_BATCH = 128
_SHIFT = 3
_SEED = 0
_log = logging.getLogger(__name__)

Rows = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PhotoSplit:
    """Rows of the photos to train on and of the held-out ones; categories that are too small are in neither.

    Attributes:
        train: int64 [N], ascending.
        held_out: int64 [H], ascending.
        categories: ids of the categories that are in both.
    """

    train: Rows
    held_out: Rows
    categories: tuple[int, ...]

    @classmethod
    def of(cls, dataset: PreparedDataset) -> PhotoSplit:
        """Splits the photos of each category with enough of them.

        Raises:
            DatasetError: if fewer than two categories have enough photos.
        """
        generator = np.random.default_rng((_SEED, 5))
        ids = dataset.items.category_ids
        counts = np.bincount(ids, minlength=len(dataset.manifest.categories))
        known = tuple(int(category) for category in np.flatnonzero(counts >= MIN_PHOTOS))
        if len(known) < 2:
            raise DatasetError(
                f"A category classifier must have two categories of at least {MIN_PHOTOS} photos. "
                f"{dataset.path} has {len(known)}. Use a larger dataset."
            )
        train, held_out = [], []
        for category in known:
            rows = generator.permutation(np.flatnonzero(ids == category))
            count = min(max(round(len(rows) * HELD_OUT), 1), len(rows) - 1)
            held_out.append(rows[:count])
            train.append(rows[count:])
        return cls(np.sort(np.concatenate(train)), np.sort(np.concatenate(held_out)), known)

    def classes(self, dataset: PreparedDataset, rows: Rows) -> Rows:
        """int64 [N]: indices of the photos' categories in `categories`."""
        return np.searchsorted(np.array(self.categories), dataset.items.category_ids[rows]).astype(np.int64)


@dataclass(eq=False)
class CategoryClassifier:
    """A small CNN from pixels to the categories of a dataset, and its accuracy.

    Attributes:
        model: float32 [B, H, W, 3] in [-1, 1] to logits float32 [B, C].
        categories: names of the C categories it knows.
        accuracy: share of held-out photos that it classifies correctly.
        category_accuracy: the same a category, by name.
    """

    model: keras.Model
    categories: tuple[str, ...]
    accuracy: float = np.nan
    category_accuracy: dict[str, float] = field(default_factory=dict)

    @cached_property
    def _logits(self) -> Any:
        images = tf.TensorSpec(self.model.input_shape, tf.uint8)
        return tf.function(
            lambda images: self.model(to_float(images), training=False), input_signature=[images], autograph=False
        )

    def logits(self, images_uint8: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """float32 [N, C] of uint8 [N, H, W, 3]."""
        return map_chunks(self._logits, images_uint8, chunk_rows=_BATCH)


def category_classifier(
    dataset: PreparedDataset, split: PhotoSplit, *, progress: Progress | None = None
) -> CategoryClassifier:
    """Trains the classifier of a dataset's categories on its photos, or reads it from the dataset's folder.

    It is the backbone `small_cnn` on images whose longer side has 64 pixels, from random weights: it was trained on
    nothing else, so it shares no blind spot with a discriminator with a pretrained network. It is cached in the
    dataset's folder, under its fingerprint, as features are.
    """
    names = tuple(dataset.manifest.categories[category] for category in split.categories)
    folder = dataset.path / FOLDER / f"{_VERSION}-{dataset.manifest.fingerprint}"
    with suppress(OSError, ValueError):  # not there, or damaged
        accuracy = json.loads((folder / _ACCURACY_NAME).read_text(encoding="utf-8"))
        model = _build(dataset.manifest.image_size, len(names))
        model.load_weights(folder / _WEIGHTS_NAME)
        return CategoryClassifier(model, names, **accuracy)
    classifier = _trained(dataset, split, names, progress)
    _log.info(
        "Trained a classifier of %d categories on %d photos. Its accuracy is %.1f %% on %d held-out ones.",
        *(len(names), len(split.train), 100.0 * classifier.accuracy, len(split.held_out)),
    )
    # The dataset's folder may be read-only; the classifier is valid all the same.
    with suppress(OSError), whole_directory(folder, if_exists="overwrite") as scratch:
        classifier.model.save_weights(scratch / _WEIGHTS_NAME)
        accuracy = {"accuracy": classifier.accuracy, "category_accuracy": classifier.category_accuracy}
        (scratch / _ACCURACY_NAME).write_text(json.dumps(accuracy, indent=2) + "\n", encoding="utf-8")
    return classifier


def _trained(
    dataset: PreparedDataset,
    split: PhotoSplit,
    names: tuple[str, ...],
    progress: Progress | None,
) -> CategoryClassifier:
    keras.utils.set_random_seed(_SEED)
    model = _build(dataset.manifest.image_size, len(names))
    steps = max(len(split.train) // _BATCH, 1) * EPOCHS
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,  # compiling costs more than it saves on so few steps
    )
    for number, (images, rows) in enumerate(photo_batches(dataset, split.train, epochs=EPOCHS, seed=_SEED), start=1):
        model.train_on_batch(images, split.classes(dataset, rows))
        if progress is not None:
            progress(number, steps)
    classifier, classes = CategoryClassifier(model, names), split.classes(dataset, split.held_out)
    correct = classifier.logits(dataset.images.read(split.held_out)).argmax(axis=1) == classes
    classifier.accuracy = float(correct.mean())
    classifier.category_accuracy = {name: float(correct[classes == at].mean()) for at, name in enumerate(names)}
    return classifier


def _build(image_size: tuple[int, int], num_classes: int) -> keras.Model:
    images = keras.Input((*image_size, 3), name="images")
    hidden = resized(images, image_size)
    backbone = build_backbone("small_cnn", hidden.shape[1:3], BackboneOptions(embedding_dim=_UNITS, dropout=_DROPOUT))
    hidden = keras.layers.ReLU()(backbone(hidden))
    return keras.Model(images, keras.layers.Dense(num_classes, name="logits")(hidden), name="category_classifier")


def resized(images: Any, image_size: tuple[int, int]) -> Any:
    """Symbolic images, reduced until the longer side has at most 64 pixels: larger ones cost more and tell little
    more.
    """
    scale = min(1.0, _SIDE / max(image_size))
    size = (max(round(image_size[0] * scale), 1), max(round(image_size[1] * scale), 1))
    return images if size == tuple(image_size) else keras.layers.Resizing(*size, antialias=True)(images)


def photo_batches(
    dataset: PreparedDataset, rows: Rows, *, epochs: int, seed: int
) -> Iterator[tuple[npt.NDArray[np.float32], Rows]]:
    """Photos in whole batches, flipped and shifted, float32 [B, H, W, 3] in [-1, 1], and their rows; epoch after
    epoch.
    """
    size = min(_BATCH, len(rows))
    for epoch in range(epochs):
        generator = np.random.default_rng((seed, 6, epoch))
        order = generator.permutation(rows)
        for start in range(0, len(order) - size + 1, size):
            batch = order[start : start + size]
            images = flip(dataset.images.read(batch), generator.random((size, 1)))
            offsets = generator.integers(0, 2 * _SHIFT + 1, (size, 2))
            images = shift(images, (offsets + 0.5) / (2 * _SHIFT + 1), max_shift=_SHIFT).numpy()
            yield images.astype(np.float32) / 127.5 - 1.0, batch
