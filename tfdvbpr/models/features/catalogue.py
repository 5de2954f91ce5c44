"""Off-the-shelf features of a whole catalogue, computed once for a dataset and kept beside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.files import whole_file
from tfdvbpr.models.features import FEATURE_EXTRACTORS

Features = npt.NDArray[np.float32]
Extract = Callable[[npt.NDArray[np.uint8]], Features]
Progress = Callable[[int, int], None]

FOLDER = "features"
_BATCH = 256
_TRUNK_VERSION = 1


def catalogue_features(dataset: PreparedDataset, extractor: str, *, progress: Progress | None = None) -> Features:
    """float32 [num_items, F]: what the named extractor sees in every picture.

    They are kept in the dataset's folder, under the extractor's name and version and the dataset's fingerprint, and
    read from there by whoever asks again. `tfdvbpr prepare --if-exists
    overwrite` removes them with the rest of the folder.

    Args:
        dataset: whose pictures are read.
        extractor: a name in FEATURE_EXTRACTORS.
        progress: called with (pictures seen, pictures in all).

    Raises:
        ConfigError: if the extractor needs weights that cannot be had.
    """
    extract = FEATURE_EXTRACTORS[extractor]
    dim = extract.feature_dim(dataset.manifest.image_size)
    return _kept(dataset, f"{extractor}-{extract.version}", dim, lambda: seen_features(dataset, extract, progress))


def trunk_features(
    dataset: PreparedDataset, trunk: Any, *, name: str | None = None, progress: Progress | None = None
) -> Features:
    """float32 [num_items, F]: what the frozen trunk of a backbone sees in every picture.

    Args:
        dataset: whose pictures are read.
        trunk: a model from float32 [B, H, W, 3] in [-1, 1] to float32 [B, F].
        name: of a trunk with weights that everybody has, whose features are kept as those of an extractor; None for
            one with weights of its own.
        progress: called with (pictures seen, pictures in all).
    """
    see = tf.function(lambda images: trunk(to_float(images), training=False), reduce_retracing=True, autograph=False)

    def seen() -> Features:
        return seen_features(dataset, lambda images: see(images).numpy(), progress)

    return seen() if name is None else _kept(dataset, f"{name}-trunk-{_TRUNK_VERSION}", trunk.output_shape[-1], seen)


def seen_features(dataset: PreparedDataset, extract: Extract, progress: Progress | None = None) -> Features:
    """float32 [num_items, F]: `extract` of every picture, a batch at a time."""
    count = dataset.manifest.num_items
    parts = []
    for start in range(0, count, _BATCH):
        rows = np.arange(start, min(start + _BATCH, count), dtype=np.int32)
        parts.append(extract(dataset.images.read(rows)))
        if progress is not None:
            progress(int(rows[-1]) + 1, count)
    return np.concatenate(parts)


def in_tenths(told: Callable[[str], None], seer: str) -> Progress:
    """A progress that tells people a line a tenth of the way; nothing where one batch is all."""
    tenths = 0

    def progress(done: int, total: int) -> None:
        nonlocal tenths
        if total > _BATCH and done * 10 // total > tenths:
            tenths = done * 10 // total
            told(f"{seer} has seen {done} of {total} pictures.")

    return progress


def _kept(dataset: PreparedDataset, name: str, dim: int, compute: Callable[[], Features]) -> Features:
    """Features an earlier call has left, or computed and left for the next."""
    about = dataset.manifest
    path = dataset.path / FOLDER / f"{name}-{about.fingerprint}.npy"
    found = _read(path)
    if found is not None and found.shape == (about.num_items, dim) and found.dtype == np.float32:
        return found
    features = compute()
    # The dataset may lie where nobody may write; the features are good all the same.
    with suppress(OSError), whole_file(path) as scratch:
        np.save(scratch, features)
    return features


def _read(path: Path) -> Features | None:
    try:
        features: Features = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # not there, or damaged
        return None
    return features
