"""Reads colour, pattern and cut from images of a synthetic dataset's garments, and tells how often it is right."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers
from scipy.ndimage import gaussian_filter

from tfdvbpr.data.chunks import map_chunks
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.augmentation import flip, shift
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.data.synthetic.garments import read_colours
from tfdvbpr.errors import DatasetError
from tfdvbpr.evaluation.generative.features import blurred
from tfdvbpr.files import whole_directory

ATTRIBUTES = ("colour", "pattern", "cut")
BLUR_STDDEV = 1.2  # pixels of the blurred held-out items
_FOLDER, _VERSION = "attribute_reader", 1
_WEIGHTS_NAME, _ACCURACY_NAME = "reader.weights.h5", "reader.json"
_HELD_OUT = 0.2
_EPOCHS, _MIN_STEPS, _BATCH, _LEARNING_RATE = 20, 100, 64, 4e-3
_CONVOLUTIONS = ((24, 4, 2), (48, 3, 2), (48, 3, 1), (96, 3, 2))  # filters, size, strides
_UNITS, _DROPOUT = 96, 0.3
_MAX_SHIFT = 4  # pixels
_MAX_BLUR = 1.6  # pixels; half of every batch has a random blur up to it
_MAX_NOISE = 10 / 127.5
_CONTRASTS = (0.7, 1.1)  # with white, which stays
_BLENDED = 0.2  # share of a batch that is a blend of two items, whose attributes are unclear
_SURE = 0.5  # least probability of a name that is read
_SEED = 0
_log = logging.getLogger(__name__)

Images = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class _Labels:
    """What a dataset's items are, as class numbers.

    Attributes:
        patterns: the names, ascending.
        cuts: (category id, cut) of each class, ascending.
        classes: int64 [N, 2] of the items: pattern and cut.
    """

    patterns: tuple[str, ...]
    cuts: tuple[tuple[int, str], ...]
    classes: Rows

    @classmethod
    def of(cls, dataset: PreparedDataset) -> _Labels:
        table, ids = dataset.items.table, dataset.items.category_ids.tolist()
        named = list(zip(ids, table["cut"].to_list(), strict=True))
        patterns, cuts = tuple(sorted(set(table["pattern"]))), tuple(sorted(set(named)))
        numbers = [[patterns.index(pattern) for pattern in table["pattern"]], [cuts.index(cut) for cut in named]]
        return cls(patterns, cuts, np.array(numbers, np.int64).T)


@dataclass(eq=False)
class AttributeReader:
    """Reads colours from images by rule, patterns and cuts by a small CNN trained on the dataset's items alone.

    The CNN starts from random weights and is given nothing but these images, shifted, mirrored, blurred (σ up to 1.6
    px), noisy and pale, so that a soft generated image is read as a sharp one of the same garment. It also learns that
    the attributes of a blend of two items are unclear. A name is read where its probability is at least ½.

    Attributes:
        dataset: a synthetic one, whose items have the columns of ATTRIBUTES.
        model: float32 [B, H, W, 3] in [-1, 1] to two logits, float32 [B, patterns] and [B, cuts of all categories].
        accuracy: by attribute, the share of held-out items that are read correctly.
        blurred_accuracy: the same of the held-out items blurred by a Gaussian of σ = 1.2 px.

    Example:
        >>> reader = AttributeReader.of(dataset)  # doctest: +SKIP
        >>> reader.read(images, ["shoe", "hat"])["cut"]  # doctest: +SKIP
        array(['boot', 'cap'], dtype='<U4')
    """

    dataset: PreparedDataset
    model: keras.Model
    accuracy: dict[str, float]
    blurred_accuracy: dict[str, float]

    @classmethod
    def of(cls, dataset: PreparedDataset, *, progress: Callable[[int, int], None] | None = None) -> AttributeReader:
        """Trains the reader on four fifths of the items and tests it on the rest, or reads it from the dataset.

        Args:
            dataset: as above; a reader is cached in its folder, under its fingerprint.
            progress: called with (steps done, steps in total).

        Raises:
            DatasetError: if the items do not have the columns.
        """
        missing = [name for name in ATTRIBUTES if name not in dataset.items.table.columns]
        if missing:
            raise DatasetError(
                f"DATASET must be a synthetic one, whose items have the columns {', '.join(ATTRIBUTES)}. "
                f"{dataset.path} lacks {', '.join(missing)}. Make one with `tfdvbpr prepare --format synthetic`."
            )
        labels = _Labels.of(dataset)
        model = _build(dataset.manifest.image_size, labels)
        folder = dataset.path / _FOLDER / f"{_VERSION}-{dataset.manifest.fingerprint}"
        with suppress(OSError, ValueError):  # not there, or damaged
            accuracy = json.loads((folder / _ACCURACY_NAME).read_text(encoding="utf-8"))
            model.load_weights(folder / _WEIGHTS_NAME)
            return cls(dataset, model, **accuracy)
        order = np.random.default_rng((_SEED, 13)).permutation(len(labels.classes))
        held_out, known = np.split(order, [max(int(len(order) * _HELD_OUT), 1)])
        keras.utils.set_random_seed(_SEED)
        model = _build(dataset.manifest.image_size, labels)
        _train(model, dataset, labels, known, progress)
        reader = cls(dataset, model, {}, {})
        reader.accuracy, reader.blurred_accuracy = (reader._tested(held_out, stddev) for stddev in (0.0, BLUR_STDDEV))
        _log.info("Trained a reader of attributes. Its accuracy on held-out items is %s.", reader.accuracy)
        # The dataset's folder may be read-only; the reader is valid all the same.
        with suppress(OSError), whole_directory(folder, if_exists="overwrite") as scratch:
            model.save_weights(scratch / _WEIGHTS_NAME)
            accuracy = {"accuracy": reader.accuracy, "blurred_accuracy": reader.blurred_accuracy}
            (scratch / _ACCURACY_NAME).write_text(json.dumps(accuracy, indent=2) + "\n", encoding="utf-8")
        return reader

    @cached_property
    def _labels(self) -> _Labels:
        return _Labels.of(self.dataset)

    @cached_property
    def _probabilities(self) -> Any:
        def both(images: Any, allowed: Any) -> Any:
            patterns, cuts = self.model(to_float(images), training=False)
            cuts = tf.where(allowed, cuts, -np.inf)
            return tf.concat([tf.nn.softmax(patterns), tf.nn.softmax(cuts)], axis=1)

        images = tf.TensorSpec(self.model.input_shape, tf.uint8)
        allowed = tf.TensorSpec((None, len(self._labels.cuts)), tf.bool)
        return tf.function(both, input_signature=[images, allowed], autograph=False)

    def read(self, images: Images, categories: Sequence[str]) -> dict[str, Names]:
        """By attribute, its name in each of the images, uint8 [N, H, W, 3] of the categories; "" if unclear."""
        ids = np.array([self.dataset.items.category_id(name) for name in categories], np.int64)
        return self._read(images, ids)

    def _read(self, images: Images, category_ids: npt.NDArray[np.integer]) -> dict[str, Names]:
        labels = self._labels
        allowed = np.array([category for category, _ in labels.cuts]) == category_ids[:, None]
        found = map_chunks(self._probabilities, images, allowed, chunk_rows=_BATCH)
        patterns, cuts = np.split(found, [len(labels.patterns)], axis=1)
        return {
            "colour": np.array(read_colours(images), np.str_),
            "pattern": _sure(patterns, labels.patterns),
            "cut": _sure(cuts, [cut for _, cut in labels.cuts]),
        }

    def _tested(self, rows: Rows, blur_stddev: float) -> dict[str, float]:
        images = self.dataset.images.read(rows)
        read = self._read(blurred(images, blur_stddev), self.dataset.items.category_ids[rows])
        table = self.dataset.items.table
        return {name: float((read[name] == table[name].to_numpy()[rows]).mean()) for name in ATTRIBUTES}


def _sure(probabilities: Pixels, names: Sequence[str]) -> Names:
    read = np.array(names)[probabilities.argmax(axis=1)]
    return np.where(probabilities.max(axis=1) >= _SURE, read, "")


def _build(image_size: tuple[int, int], labels: _Labels) -> keras.Model:
    """Shape from the last map, for cuts; texture from means and maxima of the maps over the image, for patterns."""
    images = keras.Input((*image_size, 3), name="images")
    hidden, maps = images, []
    for filters, size, strides in _CONVOLUTIONS:
        hidden = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(hidden)
        hidden = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(hidden))
        maps.append(hidden)
    shape = layers.Flatten()(layers.AveragePooling2D(2, padding="same")(hidden))
    shape = layers.Dense(_UNITS, activation="relu")(layers.Dropout(_DROPOUT)(shape))
    means = [layers.GlobalAveragePooling2D()(part) for part in maps[1:]]
    maxima = [layers.GlobalMaxPooling2D()(part) for part in maps[2:]]
    texture = layers.BatchNormalization(momentum=0.9)(layers.Concatenate()([*means, *maxima]))
    texture = layers.Dense(_UNITS, activation="relu")(layers.Concatenate()([texture, shape]))
    logits = [
        layers.Dense(len(labels.patterns), name="pattern_logits")(texture),
        layers.Dense(len(labels.cuts), name="cut_logits")(shape),
    ]
    return keras.Model(images, logits, name="attribute_reader")


def _train(
    model: keras.Model,
    dataset: PreparedDataset,
    labels: _Labels,
    known: Rows,
    progress: Callable[[int, int], None] | None,
) -> None:
    steps = max(_EPOCHS * len(known) // _BATCH, _MIN_STEPS)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)),
        loss=[keras.losses.CategoricalCrossentropy(from_logits=True) for _ in range(2)],
        jit_compile=False,  # compiling costs more than it saves on so few steps
    )
    for number, (images, targets) in enumerate(_batches(dataset, labels, known, steps), start=1):
        model.train_on_batch(images, targets)
        if progress is not None:
            progress(number, steps)


def _batches(
    dataset: PreparedDataset, labels: _Labels, known: Rows, steps: int
) -> Iterator[tuple[Pixels, list[npt.NDArray[np.float32]]]]:
    """Random items, half of them blurred, some of them blends of two items of one category."""
    generator = np.random.default_rng((_SEED, 14))
    ids = dataset.items.category_ids
    members = {category: known[ids[known] == category] for category in np.unique(ids[known])}
    targets = [
        np.eye(len(names), dtype=np.float32)[labels.classes[:, column]]
        for column, names in enumerate((labels.patterns, labels.cuts))
    ]
    for _ in range(steps):
        rows = generator.choice(known, min(_BATCH, len(known)))
        others = np.array([generator.choice(members[category]) for category in ids[rows]])
        blended = np.arange(len(rows)) < _BLENDED * len(rows)
        amounts = np.where(blended, generator.random(len(rows)), 1.0).astype(np.float32)[:, None]
        pixels = amounts[..., None, None] * _shifted(dataset, rows, generator)
        pixels += (1 - amounts[..., None, None]) * _shifted(dataset, others, generator)
        yield (
            _softened(pixels, generator),
            [amounts * target[rows] + (1 - amounts) * target[others] for target in targets],
        )


def _shifted(dataset: PreparedDataset, rows: Rows, generator: np.random.Generator) -> Pixels:
    images = flip(dataset.images.read(rows), generator.random((len(rows), 1)))
    return to_float(shift(images, generator.random((len(rows), 2)), max_shift=_MAX_SHIFT)).numpy()


def _softened(images: Pixels, generator: np.random.Generator) -> Pixels:
    """Blur of the later half, contrast and noise of all; in [-1, 1]."""
    size = (len(images), 1, 1, 1)
    half = len(images) // 2
    stddev = generator.uniform(0, _MAX_BLUR)
    images[half:] = gaussian_filter(images[half:], (0, stddev, stddev, 0))
    pale = 1 - (1 - images) * generator.uniform(*_CONTRASTS, size)
    noise = generator.standard_normal(images.shape, np.float32) * generator.uniform(0, _MAX_NOISE, size)
    return np.clip(pale + noise, -1, 1).astype(np.float32)
