"""A descriptor that needs no trained weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

_GRID = 6
_ORIENTATIONS = 8
_TONES = 4


class ColourAndEdges:
    """Where which colours and edge directions are.

    Three blocks, each scaled to unit length: mean RGB over a 6×6 grid, edge energy by 8 directions over the same grid,
    and a histogram of 4 tones a channel (64 bins), as square roots.
    """

    version = 1

    def feature_dim(self, image_size: tuple[int, int]) -> int:
        """108 + 288 + 64, whatever the size."""
        return (3 + _ORIENTATIONS) * _GRID**2 + _TONES**3

    def __call__(self, images_uint8: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """float32 [B, 460] of uint8 [B, H, W, 3]."""
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
    """Sobel's filter within each image of [B, H, W]; SciPy's own would smooth over the batch too."""
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
