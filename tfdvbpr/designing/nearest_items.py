"""Nearest real items of generated images, and how new an image is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.chunks import map_chunks
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.similarity import nearest_members
from tfdvbpr.designing.optimize.objective import embed_images
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.run import Run

EXTRACTOR = "colour-and-edges"
_CHUNK = 512

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Neighbours:
    """The real items nearest to each image.

    Attributes:
        item_ids: for each image, item ids, nearest first.
        items: int32 [N, k], rows of the same items.
        distances: float64 [N, k], Euclidean distances in the feature space; 0 is the same image.
        novelties: float64 [N], the distance to the nearest item over the median distance between a real item of the
            category and its nearest other one: 1 is as new as real items are among themselves, 0 a copy.
    """

    item_ids: list[list[str]]
    items: npt.NDArray[np.int32]
    distances: npt.NDArray[np.float64]
    novelties: npt.NDArray[np.float64]


class RealItems:
    """A category's real items in a feature space, searched by Euclidean distance.

    Args:
        dataset: whose items are searched.
        category: only items of this category; None, or one that the dataset does not have, for all.
        run: searches in Φ of this recommender; left out, in colours and edges, which no training has seen.
    """

    def __init__(self, dataset: PreparedDataset, category: str | None, *, run: Run | None = None) -> None:
        self._run, self._dataset = run, dataset
        self._rows = np.arange(len(dataset.items), dtype=np.int32)
        if category is not None and category in dataset.items.categories:
            self._rows = self._rows[dataset.items.category_ids == dataset.items.category_id(category)]
        if run is not None and len(run.visual_item_embeddings) == len(dataset.items):
            self._real: Floats = run.visual_item_embeddings[self._rows]
        else:
            self._real = map_chunks(
                lambda rows: self.features(dataset.images.read(rows)), self._rows, chunk_rows=_CHUNK
            )
        self._typical = self._median_nearest_distance()

    def features(self, images_uint8: npt.NDArray[np.uint8]) -> Floats:
        """float32 [N, F] of images, uint8 [N, H, W, 3], of any size."""
        if self._run is not None:
            return embed_images(self._run, images_uint8)
        size = self._dataset.manifest.image_size
        if tuple(images_uint8.shape[1:3]) != tuple(size):
            resized = tf.image.resize(images_uint8, size, antialias=True)
            images_uint8 = tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8).numpy()
        return FEATURE_EXTRACTORS[EXTRACTOR](images_uint8)

    def nearest(self, images_uint8: npt.NDArray[np.uint8], *, k: int) -> Neighbours:
        """The k nearest items of each image, uint8 [N, H, W, 3]; fewer if the category is smaller."""
        found = nearest_members(self.features(images_uint8), self._real, k=min(k, len(self._real)))
        items, ids = self._rows[found.rows], self._dataset.items.item_ids
        names = [[ids[item] for item in row] for row in items]
        return Neighbours(names, items, found.distances, found.distances[:, 0] / self._typical)

    def mean_distance(self, num_pairs: int) -> float:
        """The mean distance between two real items, over so many seeded pairs; 1 if there is but one item."""
        if len(self._real) < 2:
            return 1.0
        generator = np.random.default_rng(0)
        first = generator.integers(0, len(self._real), num_pairs)
        second = (first + generator.integers(1, len(self._real), num_pairs)) % len(self._real)
        return float(np.linalg.norm(self._real[first] - self._real[second], axis=1).mean()) or 1.0

    def _median_nearest_distance(self) -> float:
        if len(self._real) < 2:
            return 1.0
        return float(np.median(nearest_members(self._real, self._real, k=2).distances[:, 1])) or 1.0
