"""What makes an image a ghost: it glows, or is washed out, more than nearly every photo of its category."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tfdvbpr.data.images.silhouettes import border_medians

PERCENTILE = 0.5  # of a category's photos, at either side, that the rule would call ghosts

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def photo_limits(photos: Images) -> tuple[float, float]:
    """The 99.5th percentile of the photos' colourfulness and the 0.5th of their visibility.

    Args:
        photos: of one category, uint8 [N, H, W, 3], N ≥ 1.
    """
    most = float(np.percentile(colourfulness(photos), 100.0 - PERCENTILE))
    return most, float(np.percentile(visibility(photos), PERCENTILE))


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
