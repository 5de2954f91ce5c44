"""Off-the-shelf features of a whole catalogue, computed once for a dataset and kept beside it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.arrays import read_npy
from tfdvbpr.data.chunks import map_chunks
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.files import whole_file
from tfdvbpr.models.features import FEATURE_EXTRACTORS

_log = logging.getLogger(__name__)

Features = npt.NDArray[np.float32]
Extract = Callable[[npt.NDArray[np.uint8]], Features]
Progress = Callable[[int, int], None]

FOLDER = "features"
_BATCH = 256
_NETWORK_VERSION = 1


def catalogue_features(dataset: PreparedDataset, extractor: str, *, progress: Progress | None = None) -> Features:
    """float32 [num_items, F]: the named extractor's features of every image.

    They are kept in the dataset's folder, under the extractor's name and version and the dataset's fingerprint, and
    read from there the next time. `tfdvbpr prepare --if-exists overwrite` removes them with the rest of the folder.

    Args:
        extractor: a name in FEATURE_EXTRACTORS.
        progress: called with (images done, images in all); left out, a long computation is logged.

    Raises:
        ConfigError: if the extractor needs weights that are not installed.
    """
    extract = FEATURE_EXTRACTORS[extractor]
    dim = extract.feature_dim(dataset.manifest.image_size)
    return cached_features(dataset, f"{extractor}-{extract.version}", extract, dim=dim, progress=progress)


def network_features(dataset: PreparedDataset, network: Any, *, name: str) -> Features:
    """float32 [num_items, F]: the features of every image by the frozen network of a backbone.

    Args:
        network: a model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, F], with published weights.
        name: under which the features are kept, as those of an extractor.
    """
    images = tf.TensorSpec(network.input_shape, tf.uint8)
    apply = tf.function(
        lambda images: network(to_float(images), training=False), input_signature=[images], autograph=False
    )

    def extract(images_uint8: npt.NDArray[np.uint8]) -> Features:
        return np.asarray(apply(images_uint8))

    return cached_features(dataset, f"{name}-network-{_NETWORK_VERSION}", extract, dim=network.output_shape[-1])


def cached_features(
    dataset: PreparedDataset,
    name: str,
    extract: Extract,
    *,
    dim: int,
    rows: npt.NDArray[np.integer[Any]] | None = None,
    progress: Progress | None = None,
) -> Features:
    """float32 [N, F]: `extract` of images, a batch at a time, kept in the dataset's folder.

    Args:
        name: under which they are kept, with the dataset's fingerprint; another name for other rows and another version
            of `extract`.
        extract: from uint8 [B, H, W, 3] to float32 [B, F].
        dim: F.
        rows: of the items, int [N]; all when left out.
        progress: called with (images done, images in all); left out, a long computation is logged.
    """
    rows = np.arange(dataset.manifest.num_items, dtype=np.int32) if rows is None else rows
    path = dataset.path / FOLDER / f"{name}-{dataset.manifest.fingerprint}.npy"
    found = _read(path)
    if found is not None and found.shape == (len(rows), dim) and found.dtype == np.float32:
        return found
    features = compute_features(dataset, extract, progress or _log_tenths(name), rows=rows)
    # The dataset may be read-only; the features are good all the same.
    with suppress(OSError), whole_file(path) as scratch:
        np.save(scratch, features)
    return features


def compute_features(
    dataset: PreparedDataset,
    extract: Extract,
    progress: Progress | None = None,
    *,
    rows: npt.NDArray[np.integer[Any]],
) -> Features:
    """float32 [N, F]: `extract` of the images of some items, a batch at a time."""
    return map_chunks(lambda chunk: extract(dataset.images.read(chunk)), rows, chunk_rows=_BATCH, progress=progress)


def _log_tenths(name: str) -> Progress:
    """Log a line a tenth of the way; none where one batch is all."""
    tenths = 0

    def progress(done: int, total: int) -> None:
        nonlocal tenths
        if total > _BATCH and done * 10 // total > tenths:
            tenths = done * 10 // total
            _log.info("%s has computed the features of %d of %d images.", name, done, total)

    return progress


def _read(path: Path) -> Features | None:
    try:
        features: Features = read_npy(path)
    except (OSError, ValueError):  # not there, or damaged
        return None
    return features
