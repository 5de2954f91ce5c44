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
    progress = progress or _log_tenths(extractor)
    return _kept(dataset, f"{extractor}-{extract.version}", dim, lambda: compute_features(dataset, extract, progress))


def network_features(dataset: PreparedDataset, network: Any, *, name: str) -> Features:
    """float32 [num_items, F]: the features of every image by the frozen network of a backbone.

    Args:
        network: a model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, F], with published weights.
        name: under which the features are kept, as those of an extractor.
    """
    apply = tf.function(
        lambda images: network(to_float(images), training=False), reduce_retracing=True, autograph=False
    )

    def compute() -> Features:
        return compute_features(dataset, lambda images: apply(images).numpy(), _log_tenths(name))

    return _kept(dataset, f"{name}-network-{_NETWORK_VERSION}", network.output_shape[-1], compute)


def compute_features(dataset: PreparedDataset, extract: Extract, progress: Progress | None = None) -> Features:
    """float32 [num_items, F]: `extract` of every image, a batch at a time."""
    rows = np.arange(dataset.manifest.num_items, dtype=np.int32)
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


def _kept(dataset: PreparedDataset, name: str, dim: int, compute: Callable[[], Features]) -> Features:
    """Features that an earlier call has kept, or computed and kept for the next."""
    about = dataset.manifest
    path = dataset.path / FOLDER / f"{name}-{about.fingerprint}.npy"
    found = _read(path)
    if found is not None and found.shape == (about.num_items, dim) and found.dtype == np.float32:
        return found
    features = compute()
    # The dataset may be read-only; the features are good all the same.
    with suppress(OSError), whole_file(path) as scratch:
        np.save(scratch, features)
    return features


def _read(path: Path) -> Features | None:
    try:
        features: Features = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # not there, or damaged
        return None
    return features
