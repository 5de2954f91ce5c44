"""The items: their ids, categories, metadata and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tfdvbpr.data.images.decoding import ImageFit
from tfdvbpr.data.images.storage import DecodedFile, PackedJpegs
from tfdvbpr.errors import unknown_id

IMAGES_NAME = "images.arrow"
CACHE_NAME = "images_uint8.npy"


@dataclass(frozen=True)
class Items:
    """The rows of the catalogue, without pictures.

    Attributes:
        table: columns item_id, category, and the source's other columns as strings; row n is item n.
        categories: category names in the order of their ids.
    """

    table: pl.DataFrame
    categories: tuple[str, ...]

    def __len__(self) -> int:
        return self.table.height

    @cached_property
    def item_ids(self) -> list[str]:
        """Item ids as the outside knows them."""
        return self.table["item_id"].to_list()

    @cached_property
    def category_ids(self) -> npt.NDArray[np.int32]:
        """int32 [num_items], contiguous from 0."""
        index = {name: number for number, name in enumerate(self.categories)}
        return np.array([index[name] for name in self.table["category"]], dtype=np.int32)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {item_id: number for number, item_id in enumerate(self.item_ids)}

    def indices(self, item_ids: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32 [N]: rows of the given items.

        Raises:
            UnknownIdError: if one is not in the catalogue.
        """
        for item_id in item_ids:
            if item_id not in self._index:
                raise unknown_id("item", item_id, self.item_ids)
        return np.array([self._index[item_id] for item_id in item_ids], dtype=np.int32)

    def category_id(self, category: str) -> int:
        """The id of a category.

        Raises:
            UnknownIdError: if there is no such category.
        """
        if category not in self.categories:
            raise unknown_id("category", category, self.categories)
        return self.categories.index(category)


class ItemImages:
    """Random access to the pictures of a prepared dataset, by item row, from any thread.

    Where the dataset keeps a decoded file its rows are read and nothing is decoded.

    Attributes:
        image_size: (height, width) of what `read` returns, in pixels.
        packed: the JPEG files.
        decoded: the decoded file, if the dataset keeps one.
    """

    def __init__(self, folder: Path, *, image_size: tuple[int, int], fit: ImageFit) -> None:
        self.image_size = image_size
        self.packed = PackedJpegs(folder / IMAGES_NAME, image_size=image_size, fit=fit)
        cache = folder / CACHE_NAME
        self.decoded = DecodedFile(cache) if cache.is_file() else None

    def __len__(self) -> int:
        return len(self.packed)

    def jpeg(self, item: int) -> bytes:
        """The stored JPEG file of one item, at its own size."""
        return self.packed.jpeg(item)

    def read(self, items: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
        """uint8 [N, H, W, 3]: pictures of the given item rows, at the dataset's size."""
        return (self.decoded or self.packed).read(items)
