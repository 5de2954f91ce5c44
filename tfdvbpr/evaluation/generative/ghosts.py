"""Ghosts: images that glow, or are washed out, more than nearly every photo of their category."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.images.silhouettes import border_medians

PERCENTILE = 0.5  # of a category's photos, at either side, that the rule would call ghosts
_LEAST = 1e-6

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def colourfulness(images_uint8: Images) -> Floats:
    """float64 [N] in [0, 1]: the largest less the smallest channel, a mean over the pixels of uint8 [N, H, W, 3]."""
    spread = images_uint8.max(axis=3) - images_uint8.min(axis=3)
    means: Floats = spread.mean(axis=(1, 2), dtype=np.float64) / 255.0
    return means


def visibility(images_uint8: Images) -> Floats:
    """float64 [N] in [0, 1]: how far pixels are from the background, in the channel that differs most; a mean.

    The background is the median of the border's pixels.

    Args:
        images_uint8: uint8 [N, H, W, 3].
    """
    background = border_medians(images_uint8)[:, None, None]
    means: Floats = np.abs(images_uint8 - background).max(axis=3).mean(axis=(1, 2), dtype=np.float64) / 255.0
    return means


def ghostliness(
    images_uint8: Images, categories: npt.NDArray[np.str_], photos: Images, photo_categories: npt.NDArray[np.str_]
) -> Floats:
    """How far beyond its category's photos each image glows, or is washed out; an image above 1 is a ghost.

    The larger of two ratios: colourfulness over its 99.5th percentile among the photos, and the 0.5th percentile of
    their visibility over the image's. So one photo in a hundred is a ghost by this rule. A glow that covers the
    background counts, for which silhouettes are blind.

    Args:
        images_uint8: uint8 [N, H, W, 3].
        categories: names, [N].
        photos: uint8 [M, H, W, 3].
        photo_categories: names, [M].

    Returns:
        float64 [N]; NaN for images of a category without photos.

    Example:
        >>> photo, glow = np.full((1, 4, 4, 3), 250, np.uint8), np.zeros((1, 4, 4, 3), np.uint8)
        >>> photo[0, 1:3, 1:3] = (200, 100, 100)
        >>> glow[..., :2] = 255
        >>> shirts = np.array(["shirt"])
        >>> ghostliness(np.concatenate([photo, glow]), shirts.repeat(2), photo, shirts).round(1).tolist()
        [1.0, 150000.0]
    """
    found = np.full(len(images_uint8), np.nan)
    for name in set(categories) & set(photo_categories):
        own, rows = photos[photo_categories == name], categories == name
        most = np.percentile(colourfulness(own), 100.0 - PERCENTILE)
        least = np.percentile(visibility(own), PERCENTILE)
        glow = colourfulness(images_uint8[rows]) / max(most, _LEAST)
        found[rows] = np.maximum(glow, least / np.maximum(visibility(images_uint8[rows]), _LEAST))
    return found


def ghost_rate(ghostliness: Floats) -> float:
    """The share of ghosts among the images that have photos to compare with; NaN where none has."""
    known = ghostliness[~np.isnan(ghostliness)]
    return float((known > 1.0).mean()) if len(known) else float("nan")
