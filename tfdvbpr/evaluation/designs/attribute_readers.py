"""What a rendered garment shows: its colour, its pattern and its cut, read off the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.synthetic.garments import read_colours
from tfdvbpr.errors import DatasetError
from tfdvbpr.evaluation.generative.extractors import DEFAULT, pictures_features
from tfdvbpr.evaluation.generative.manifold import nearest

ATTRIBUTES = ("colour", "pattern", "cut")
_NEIGHBOURS = 5
_HELD_OUT = 0.25

Pictures = npt.NDArray[np.uint8]
Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class AttributeReaders:
    """Reads colours by rule, and patterns and cuts by the nearest items whose pattern and cut are known.

    Attributes:
        dataset: a synthetic one, whose items say what they are.
        extractor: through which network items are near each other, a name in EXTRACTORS.
        features: float32 [N, F] of the items.
        accuracy: by attribute, the share of held-out items that are read rightly.
    """

    dataset: PreparedDataset
    extractor: str
    features: npt.NDArray[np.float32]
    accuracy: dict[str, float]

    @classmethod
    def of(cls, dataset: PreparedDataset, *, extractor: str = DEFAULT, seed: int = 0) -> AttributeReaders:
        """Describes every item, and measures itself on a quarter of them, read by the others.

        Raises:
            DatasetError: if the items do not say what they are.
            ConfigError: if the extractor's weights cannot be had.
        """
        missing = [name for name in ATTRIBUTES if name not in dataset.items.table.columns]
        if missing:
            raise DatasetError(
                f"DATASET must be a synthetic one, whose items have the columns {', '.join(ATTRIBUTES)}. "
                f"{dataset.path} lacks {', '.join(missing)}. Make one with `tfdvbpr prepare --format synthetic`."
            )
        images = dataset.images.read(np.arange(dataset.manifest.num_items))
        features = pictures_features(extractor, images)
        order = np.random.default_rng((seed, 13)).permutation(len(images))
        held_out, known = np.split(order, [max(int(len(order) * _HELD_OUT), 1)])
        readers = cls(dataset, extractor, features, {})
        categories = dataset.items.category_ids[held_out]
        read = readers._read(images[held_out], features[held_out], categories, known)
        table = dataset.items.table
        accuracy = {name: float((read[name] == np.array(table[name])[held_out]).mean()) for name in ATTRIBUTES}
        return cls(dataset, extractor, features, accuracy)

    def read(self, images: Pictures, categories: list[str]) -> dict[str, Names]:
        """By attribute, its name in each picture; "" for a colour that cannot be seen.

        Args:
            images: uint8 [N, H, W, 3].
            categories: one a picture: only items of it are looked at.
        """
        ids = np.array([self.dataset.items.category_id(name) for name in categories])
        return self._read(images, pictures_features(self.extractor, images), ids, np.arange(len(self.features)))

    def _read(
        self,
        images: Pictures,
        features: npt.NDArray[np.float32],
        category_ids: npt.NDArray[np.integer],
        known: npt.NDArray[np.int64],
    ) -> dict[str, Names]:
        read = {"colour": np.array(read_colours(images))}
        table = self.dataset.items.table
        for name in ATTRIBUTES[1:]:
            values = np.array(table[name])
            read[name] = np.full(len(images), "", dtype=values.dtype)
            for category in np.unique(category_ids):
                mine = np.flatnonzero(category_ids == category)
                rows = known[self.dataset.items.category_ids[known] == category]
                if len(rows):
                    near = nearest(features[mine], self.features[rows], k=min(_NEIGHBOURS, len(rows))).rows
                    read[name][mine] = [_most_common(values[rows[row]]) for row in near]
        return read


def _most_common(names: Names) -> str:
    """The name that is there most often; of equals the one of the nearest."""
    found, first, counts = np.unique(names, return_index=True, return_counts=True)
    return str(found[np.lexsort((first, -counts))[0]])
