"""VisRank: items that look like what the user acted on. Nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from tfdvbpr.models.factors import Factors

FeatureExtractor = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]

_GRID = 6
_ORIENTATIONS = 8
_TONES = 4


def visrank(features: npt.NDArray[np.float32], training_matrix: sparse.csr_matrix) -> Factors:
    """x̂_ui = mean cosine between i and the user's training items.

    The features are centred on the catalogue's mean first: pictures on a white ground share most of their raw features.

    Args:
        features: float32 [num_items, D], of any extractor.
        training_matrix: bool [num_users, num_items].
    """
    mean = features.mean(axis=0)
    items = centred(features, mean)
    counts = np.maximum(np.asarray(training_matrix.sum(axis=1)), 1)
    users = (training_matrix.astype(np.float32) @ items) / counts
    return Factors(users.astype(np.float32), items, np.zeros(len(items), np.float32), mean)


def centred(features: npt.NDArray[np.float32], mean: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32 [N, D]: features less a mean, each row scaled to length 1."""
    rest = features - mean
    return (rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def colour_and_edges(images_uint8: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """A descriptor that needs no trained weights: where which colours and edge directions are.

    Three blocks, each scaled to unit length: mean RGB over a 6×6 grid, edge energy by 8 directions over the same grid,
    and a histogram of 4 tones a channel (64 bins), as square roots.

    Args:
        images_uint8: uint8 [B, H, W, 3].

    Returns:
        float32 [B, 108 + 288 + 64].
    """
    pixels = images_uint8.astype(np.float32) / 255.0
    grey = pixels.mean(axis=-1)
    dy, dx = _sobel(grey, along=1, across=2), _sobel(grey, along=2, across=1)
    angle = np.floor(np.mod(np.arctan2(dy, dx), np.pi) / np.pi * _ORIENTATIONS).clip(0, _ORIENTATIONS - 1)
    strength = np.hypot(dx, dy)
    edges = np.stack([strength * (angle == number) for number in range(_ORIENTATIONS)], axis=-1)
    tones = (images_uint8 // (256 // _TONES)).astype(np.int64)
    codes = (tones[..., 0] * _TONES + tones[..., 1]) * _TONES + tones[..., 2]
    histogram = np.stack([np.bincount(code.ravel(), minlength=_TONES**3) for code in codes])
    blocks = [_grid_means(1.0 - pixels), _grid_means(edges), np.sqrt(histogram / codes[0].size)]
    return np.concatenate([_unit(block) for block in blocks], axis=1).astype(np.float32)


def _sobel(maps: npt.NDArray[np.float32], *, along: int, across: int) -> npt.NDArray[np.float32]:
    """Sobel's filter within each picture of [B, H, W]; SciPy's own would smooth over the batch too."""
    slopes = ndimage.correlate1d(maps, [-1.0, 0.0, 1.0], axis=along)
    smooth: npt.NDArray[np.float32] = ndimage.correlate1d(slopes, [1.0, 2.0, 1.0], axis=across)
    return smooth


def _grid_means(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[B, H, W, C] to [B, 6·6·C]."""
    rows = np.array_split(maps, _GRID, axis=1)
    cells = [cell.mean(axis=(1, 2)) for row in rows for cell in np.array_split(row, _GRID, axis=2)]
    return np.concatenate(cells, axis=1)


def _unit(block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    unit: npt.NDArray[np.float32] = block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)
    return unit


FEATURE_EXTRACTORS: Mapping[str, FeatureExtractor] = MappingProxyType({"colour-and-edges": colour_and_edges})
