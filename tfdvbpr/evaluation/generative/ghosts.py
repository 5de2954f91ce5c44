"""Ghosts: images that glow, or are washed out, more than nearly every photo of their category."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.images.ghosts import colourfulness, photo_limits, visibility

_LEAST = 1e-6

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


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
        most, least = photo_limits(own)
        glow = colourfulness(images_uint8[rows]) / max(most, _LEAST)
        found[rows] = np.maximum(glow, least / np.maximum(visibility(images_uint8[rows]), _LEAST))
    return found


def ghost_rate(ghostliness: Floats) -> float:
    """The share of ghosts among the images that have photos to compare with; NaN where none has."""
    known = ghostliness[~np.isnan(ghostliness)]
    return float((known > 1.0).mean()) if len(known) else float("nan")
