"""A classifier of categories, trained on a dataset's photos, that says whether a drawn picture is what it should be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.augmentation import flip, shift
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.errors import ConfigError, DatasetError
from tfdvbpr.files import whole_directory
from tfdvbpr.models.backbones import BackboneOptions, build_backbone

FOLDER = "classifier"
_WEIGHTS_NAME, _ABOUT_NAME = "classifier.weights.h5", "classifier.json"
_VERSION = 1
_SIDE = 64
_UNITS = 128
_BATCH = 128
_SHIFT = 3

Rows = npt.NDArray[np.int64]
Told = Callable[[str], None]


@dataclass(frozen=True)
class ClassifierOptions:
    """How the classifier is trained.

    Attributes:
        min_photos: categories with fewer photos are left out: nothing can be said about them.
        held_out: share of each category's photos that it is measured on and does not learn from.
        epochs: passes over the others.
        learning_rate: of Adam at the start; it falls to 0 by a cosine.
        dropout: before the last layers.
        seed: of the split, the weights and the batches.
    """

    min_photos: int = 20
    held_out: float = 0.2
    epochs: int = 16
    learning_rate: float = 2e-3
    dropout: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.min_photos < 2 or self.epochs < 1:
            raise ConfigError(
                "`min_photos` must be at least 2 and `epochs` at least 1. "
                f"Received {self.min_photos} and {self.epochs}."
            )
        if not 0 < self.held_out < 1:
            raise ConfigError(f"`held_out` must be between 0 and 1. Received {self.held_out}.")


@dataclass(frozen=True)
class PhotoSplit:
    """Rows of a catalogue: photos to learn from, and photos kept back; categories that are too small are in neither.

    Attributes:
        train: int64 [N], ascending.
        held_out: int64 [H], ascending.
        categories: ids of the categories that are in both.
    """

    train: Rows
    held_out: Rows
    categories: tuple[int, ...]


class CategoryClassifier:
    """A small CNN from pixels to the categories of a dataset, and how good it is.

    Attributes:
        model: float32 [B, H, W, 3] in [-1, 1] to logits float32 [B, C].
        categories: names of the C categories it knows.
        accuracy: share of held-out photos it names rightly.
        category_accuracy: the same a category, by name.
        num_held_out: photos it was measured on.
    """

    def __init__(
        self,
        model: keras.Model,
        categories: tuple[str, ...],
        *,
        accuracy: float = float("nan"),
        category_accuracy: dict[str, float] | None = None,
        num_held_out: int = 0,
    ) -> None:
        self.model = model
        self.categories = categories
        self.accuracy = accuracy
        self.category_accuracy = category_accuracy or {}
        self.num_held_out = num_held_out

    @cached_property
    def _see(self) -> Any:
        return tf.function(
            lambda images: self.model(to_float(images), training=False), reduce_retracing=True, autograph=False
        )

    def logits(self, images_uint8: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """float32 [N, C] of uint8 [N, H, W, 3]."""
        starts = range(0, len(images_uint8), _BATCH)
        return np.concatenate([self._see(images_uint8[start : start + _BATCH]).numpy() for start in starts])


def photo_split(dataset: PreparedDataset, options: ClassifierOptions) -> PhotoSplit:
    """Splits the photos of each category with enough of them, by the seed alone.

    Raises:
        DatasetError: if fewer than two categories have enough photos.
    """
    generator = np.random.default_rng((options.seed, 5))
    ids = dataset.items.category_ids
    counts = np.bincount(ids, minlength=len(dataset.manifest.categories))
    known = tuple(int(category) for category in np.flatnonzero(counts >= options.min_photos))
    if len(known) < 2:
        raise DatasetError(
            f"A category classifier must have two categories of at least {options.min_photos} photos. "
            f"{dataset.path} has {len(known)}. Use a larger dataset."
        )
    train, held_out = [], []
    for category in known:
        rows = generator.permutation(np.flatnonzero(ids == category))
        kept = min(max(round(len(rows) * options.held_out), 1), len(rows) - 1)
        held_out.append(rows[:kept])
        train.append(rows[kept:])
    return PhotoSplit(np.sort(np.concatenate(train)), np.sort(np.concatenate(held_out)), known)


def category_classifier(
    dataset: PreparedDataset,
    *,
    options: ClassifierOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
    told: Told = lambda line: None,
) -> CategoryClassifier:
    """The classifier of a dataset's categories, trained on its photos or read where an earlier call has left it.

    It is the backbone `small_cnn` on pictures whose longer side has 64 pixels, from random weights: nothing of it was
    trained on anything else, so it shares no blind spot with a discriminator that looks through a pretrained network.
    It is kept in the dataset's folder, under its fingerprint, as features are.

    Args:
        dataset: whose photos and categories.
        options: see `ClassifierOptions`.
        progress: called with (steps done, steps in all).
        told: takes a line for people when it is trained.

    Raises:
        DatasetError: if fewer than two categories have enough photos.
    """
    options = options or ClassifierOptions()
    split = photo_split(dataset, options)
    names = tuple(dataset.manifest.categories[category] for category in split.categories)
    folder = dataset.path / FOLDER / f"{_VERSION}-{dataset.manifest.fingerprint}"
    kept = _read(folder / _ABOUT_NAME, options)
    if kept is not None:
        model = _build(dataset.manifest.image_size, len(names), options)
        with suppress(OSError, ValueError):  # damaged: trained anew
            model.load_weights(folder / _WEIGHTS_NAME)
            return CategoryClassifier(model, names, **kept)
    classifier = _trained(dataset, split, names, options, progress)
    told(
        f"Trained a classifier of {len(names)} categories on {len(split.train)} photos: it names "
        f"{classifier.accuracy:.1%} of {len(split.held_out)} held-out ones."
    )
    # The dataset may lie where nobody may write; the classifier is good all the same.
    with suppress(OSError), whole_directory(folder, if_exists="overwrite") as scratch:
        classifier.model.save_weights(scratch / _WEIGHTS_NAME)
        about = {"options": asdict(options), "figures": _figures(classifier)}
        (scratch / _ABOUT_NAME).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return classifier


def _trained(
    dataset: PreparedDataset,
    split: PhotoSplit,
    names: tuple[str, ...],
    options: ClassifierOptions,
    progress: Callable[[int, int], None] | None,
) -> CategoryClassifier:
    keras.utils.set_random_seed(options.seed)
    model = _build(dataset.manifest.image_size, len(names), options)
    steps = max(len(split.train) // _BATCH, 1) * options.epochs
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(options.learning_rate, steps)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,  # compiling costs more than it saves on so few steps
    )
    for number, (images, classes) in enumerate(_batches(dataset, split, options), start=1):
        model.train_on_batch(images, classes)
        if progress is not None:
            progress(number, steps)
    classifier = CategoryClassifier(model, names)
    truth = _classes(dataset, split, split.held_out)
    right = classifier.logits(dataset.images.read(split.held_out)).argmax(axis=1) == truth
    of = {name: float(right[truth == number].mean()) for number, name in enumerate(names)}
    return CategoryClassifier(model, names, accuracy=float(right.mean()), category_accuracy=of, num_held_out=len(right))


def _build(image_size: tuple[int, int], num_classes: int, options: ClassifierOptions) -> keras.Model:
    scale = min(1.0, _SIDE / max(image_size))
    size = (max(round(image_size[0] * scale), 1), max(round(image_size[1] * scale), 1))
    images = keras.Input((*image_size, 3), name="images")
    seen = images if size == tuple(image_size) else keras.layers.Resizing(*size, antialias=True)(images)
    backbone = build_backbone("small_cnn", size, BackboneOptions(embedding_dim=_UNITS, dropout=options.dropout))
    hidden = keras.layers.ReLU()(backbone(seen))
    return keras.Model(images, keras.layers.Dense(num_classes, name="logits")(hidden), name="category_classifier")


def _batches(
    dataset: PreparedDataset, split: PhotoSplit, options: ClassifierOptions
) -> Iterator[tuple[npt.NDArray[np.float32], Rows]]:
    """Mirrored and shifted photos in whole batches, epoch after epoch."""
    size = min(_BATCH, len(split.train))
    for epoch in range(options.epochs):
        generator = np.random.default_rng((options.seed, 6, epoch))
        order = generator.permutation(split.train)
        for start in range(0, len(order) - size + 1, size):
            rows = order[start : start + size]
            images = flip(dataset.images.read(rows), generator.random((size, 1)))
            offsets = generator.integers(0, 2 * _SHIFT + 1, (size, 2))
            images = shift(images, (offsets + 0.5) / (2 * _SHIFT + 1), max_shift=_SHIFT).numpy()
            yield images.astype(np.float32) / 127.5 - 1.0, _classes(dataset, split, rows)


def _classes(dataset: PreparedDataset, split: PhotoSplit, rows: Rows) -> Rows:
    """int64 [N]: positions of the photos' categories among those the classifier knows."""
    return np.searchsorted(np.array(split.categories), dataset.items.category_ids[rows]).astype(np.int64)


def _figures(classifier: CategoryClassifier) -> dict[str, Any]:
    return {
        "accuracy": classifier.accuracy,
        "category_accuracy": classifier.category_accuracy,
        "num_held_out": classifier.num_held_out,
    }


def _read(about: Path, options: ClassifierOptions) -> dict[str, Any] | None:
    """The figures of a classifier that was trained by these options; None if there is none."""
    try:
        kept = json.loads(about.read_text(encoding="utf-8"))
        figures: dict[str, Any] = kept["figures"]
        return figures if kept["options"] == asdict(options) else None
    except (OSError, ValueError, KeyError):
        return None
