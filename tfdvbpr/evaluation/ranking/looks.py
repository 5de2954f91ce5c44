"""By which features two pictures count as alike when the diversity of a list is measured."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import DatasetError
from tfdvbpr.models.features import FEATURE_EXTRACTORS
from tfdvbpr.models.recommenders.factors import Array
from tfdvbpr.run import Run

FEATURE = "colour-and-edges"
_BATCH = 512


class Looks:
    """The fixed descriptor `colour-and-edges` of a dataset's pictures, each picture read once.

    It is the same for every model, whatever features that model itself uses, and is not centred on the catalogue, so
    that two pictures are as much alike in one catalogue as in another.

    Args:
        dataset: whose pictures are read.
    """

    def __init__(self, dataset: PreparedDataset) -> None:
        self._dataset = dataset
        self._rows: npt.NDArray[np.int64] = np.full(dataset.manifest.num_items, -1)
        self._known: Array | None = None

    def __call__(self, items: npt.NDArray[np.int32]) -> Array:
        """float32 [N, D]: descriptors of N distinct item rows."""
        new = items[self._rows[items] < 0]
        begin = 0 if self._known is None else len(self._known)
        parts = [] if self._known is None else [self._known]
        for start in range(0, len(new), _BATCH):
            pictures = self._dataset.images.read(new[start : start + _BATCH])
            parts.append(FEATURE_EXTRACTORS[FEATURE](pictures))
        if parts:
            self._known = np.concatenate(parts)
        self._rows[new] = begin + np.arange(len(new))
        return np.zeros((0, 1), np.float32) if self._known is None else self._known[self._rows[items]]


def looks_of(run: Run, dataset: Path | None = None) -> Looks | None:
    """The looks of a run's catalogue; None if its dataset has gone and `dataset` does not say where it lies.

    Raises:
        DatasetError: if `dataset` is not the one the run was trained on.
    """
    try:
        opened = run.open_dataset(dataset)
    except DatasetError:
        if dataset is not None:
            raise
        return None
    return _cached(str(opened.path.resolve()), opened.manifest.fingerprint)


@lru_cache(maxsize=1)
def _cached(path: str, fingerprint: str) -> Looks:
    """One catalogue is kept, for the next run on it."""
    return Looks(PreparedDataset.open(path))
