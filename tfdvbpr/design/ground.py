"""Holding designs against real items: which ones look most alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.features import FEATURE_EXTRACTORS

EXTRACTOR = "colour-and-edges"


@dataclass(frozen=True)
class Neighbours:
    """Real items that look most like each design.

    Attributes:
        item_ids: for each design, item ids, nearest first.
        items: int32 [N, k], rows of the same items.
        distances: float64 [N, k], Euclidean distances of descriptors of length √3; 0 is the same picture.
    """

    item_ids: list[list[str]]
    items: npt.NDArray[np.int32]
    distances: npt.NDArray[np.float64]


def nearest_items(
    images_uint8: npt.NDArray[np.uint8], dataset: PreparedDataset, category_id: int, *, k: int
) -> Neighbours:
    """The k items of a category nearest to each picture, by a descriptor that knows nothing of the taste model.

    Args:
        images_uint8: uint8 [N, H, W, 3], of the dataset's size.
        dataset: whose items are searched.
        category_id: only items of this category.
        k: items a picture; fewer if the category is smaller.
    """
    extract = FEATURE_EXTRACTORS[EXTRACTOR]
    rows = np.flatnonzero(dataset.items.category_ids == category_id).astype(np.int32)
    real = np.concatenate([extract(dataset.images.read(part)) for part in _blocks(rows)])
    designs = extract(images_uint8)
    squares = (designs**2).sum(1)[:, None] - 2.0 * designs @ real.T + (real**2).sum(1)
    nearest = np.argsort(squares, axis=1, kind="stable")[:, :k]
    distances = np.sqrt(np.maximum(np.take_along_axis(squares, nearest, axis=1), 0.0))
    items = rows[nearest]
    ids = dataset.items.item_ids
    return Neighbours([[ids[item] for item in row] for row in items], items, distances.astype(np.float64))


def _blocks(rows: npt.NDArray[np.int32], size: int = 512) -> list[npt.NDArray[np.int32]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
