"""Off-the-shelf features of a whole catalogue, for the models that do not learn from pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.visrank import FEATURE_EXTRACTORS

_BATCH = 512


def catalogue_features(dataset: PreparedDataset, extractor: str) -> npt.NDArray[np.float32]:
    """float32 [num_items, F]: what the named extractor sees in every picture.

    Args:
        dataset: whose pictures are read.
        extractor: a name in FEATURE_EXTRACTORS.
    """
    extract = FEATURE_EXTRACTORS[extractor]
    parts = []
    for start in range(0, dataset.manifest.num_items, _BATCH):
        rows = np.arange(start, min(start + _BATCH, dataset.manifest.num_items), dtype=np.int32)
        parts.append(extract(dataset.images.read(rows)))
    return np.concatenate(parts)
