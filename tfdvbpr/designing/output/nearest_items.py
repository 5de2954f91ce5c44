"""Holding designs against real items: which ones look most alike, and how new a design is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.optimize.scoring import embed_pictures
from tfdvbpr.errors import ConfigError
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.run import Run

EXTRACTOR = "colour-and-edges"
TASTE = "taste"
_BLOCK = 512

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Neighbours:
    """Real items that look most like each design.

    Attributes:
        item_ids: for each design, item ids, nearest first.
        items: int32 [N, k], rows of the same items.
        distances: float64 [N, k], Euclidean distances in the feature space; 0 is the same picture.
        novelties: float64 [N], the distance to the nearest item over the median distance between a real item of the
            category and the nearest other one: 1 is as new as real items are among themselves, 0 a copy.
        space: the name of the feature space.
    """

    item_ids: list[list[str]]
    items: npt.NDArray[np.int32]
    distances: npt.NDArray[np.float64]
    novelties: npt.NDArray[np.float64]
    space: str = EXTRACTOR


class Ground:
    """A category's real items in a feature space, for any number of looks at them.

    Args:
        dataset: whose items are searched.
        category_id: only items of this category; None for all.
        space: "colour-and-edges" or another name in FEATURE_EXTRACTORS, which know nothing of the taste model, or
            "taste" for Φ.
        run: the recommender, for "taste".

    Raises:
        ConfigError: if there is no such space, it needs a run, or its weights cannot be had.
    """

    def __init__(
        self, dataset: PreparedDataset, category_id: int | None, *, space: str = EXTRACTOR, run: Run | None = None
    ) -> None:
        check_space(space, run)
        self.space = space
        self._run = run
        self._dataset = dataset
        ids = dataset.items.category_ids
        self._rows = np.flatnonzero((ids == category_id) | (category_id is None)).astype(np.int32)
        if run is not None and space == TASTE and len(run.looks) == len(dataset.items):
            self._real: Floats = run.looks[self._rows]
        else:
            blocks = [self._rows[start : start + _BLOCK] for start in range(0, len(self._rows), _BLOCK)]
            self._real = np.concatenate([self.features(dataset.images.read(block)) for block in blocks])
        self._typical = self._median_gap()

    def features(self, images_uint8: npt.NDArray[np.uint8]) -> Floats:
        """float32 [N, F] of pictures, uint8 [N, H, W, 3], of any size."""
        if self.space == TASTE and self._run is not None:
            return embed_pictures(self._run, images_uint8)
        size = self._dataset.manifest.image_size
        if tuple(images_uint8.shape[1:3]) != tuple(size):
            resized = tf.image.resize(images_uint8, size, antialias=True)
            images_uint8 = tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8).numpy()
        return FEATURE_EXTRACTORS[self.space](images_uint8)

    def nearest(self, images_uint8: npt.NDArray[np.uint8], *, k: int) -> Neighbours:
        """The k nearest items of each picture; fewer if the category is smaller.

        Args:
            images_uint8: uint8 [N, H, W, 3].
            k: items a picture.
        """
        squares = _squares(self.features(images_uint8), self._real)
        nearest = np.argsort(squares, axis=1, kind="stable")[:, :k]
        distances = np.sqrt(np.maximum(np.take_along_axis(squares, nearest, axis=1), 0.0))
        items = self._rows[nearest]
        ids = self._dataset.items.item_ids
        novelties = distances[:, 0] / self._typical
        return Neighbours([[ids[item] for item in row] for row in items], items, distances, novelties, self.space)

    def typical_distance(self, num_pairs: int) -> float:
        """The mean distance between two real items, over so many seeded pairs; 1 if there is but one."""
        if len(self._real) < 2:
            return 1.0
        generator = np.random.default_rng(0)
        first = generator.integers(0, len(self._real), num_pairs)
        second = (first + generator.integers(1, len(self._real), num_pairs)) % len(self._real)
        return float(np.linalg.norm(self._real[first] - self._real[second], axis=1).mean()) or 1.0

    def _median_gap(self) -> float:
        gaps = []
        for start in range(0, len(self._real), _BLOCK):
            squares = _squares(self._real[start : start + _BLOCK], self._real)
            squares[np.arange(len(squares)), np.arange(start, start + len(squares))] = np.inf
            gaps.append(squares.min(axis=1))
        gap = float(np.median(np.sqrt(np.maximum(np.concatenate(gaps), 0.0))))
        return gap if np.isfinite(gap) and gap > 0 else 1.0


def nearest_items(
    images_uint8: npt.NDArray[np.uint8],
    dataset: PreparedDataset,
    category_id: int,
    *,
    k: int,
    space: str = EXTRACTOR,
    run: Run | None = None,
) -> Neighbours:
    """The k items of a category nearest to each picture; see `Ground`.

    Args:
        images_uint8: uint8 [N, H, W, 3].
        dataset: whose items are searched.
        category_id: only items of this category.
        k: items a picture; fewer if the category is smaller.
        space: the feature space.
        run: the recommender, for "taste".
    """
    return Ground(dataset, category_id, space=space, run=run).nearest(images_uint8, k=k)


def check_space(space: str, run: Run | None = None) -> None:
    """Refuses a feature space that there is not.

    Raises:
        ConfigError: naming those that there are.
    """
    if space == TASTE and run is None:
        raise ConfigError("The space taste must come with a recommender run. Received none.")
    if space != TASTE and space not in FEATURE_EXTRACTORS:
        raise ConfigError(
            "`nearest_by` must be taste, colour-and-edges, efficientnet_lite0 or a model of keras.applications such as "
            f"MobileNetV2. Received {space!r}."
        )


def _squares(first: Floats, second: Floats) -> npt.NDArray[np.float64]:
    wide, other = first.astype(np.float64), second.astype(np.float64)
    found: npt.NDArray[np.float64] = (wide**2).sum(1)[:, None] - 2.0 * wide @ other.T + (other**2).sum(1)
    return found
