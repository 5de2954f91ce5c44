"""Silhouettes: the pixels of an image that differ from its background."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SILHOUETTE_THRESHOLD = 20  # of 255

Images = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]


def silhouettes(images_uint8: Images, *, threshold: int = SILHOUETTE_THRESHOLD) -> Masks:
    """The pixels that differ from the background by more than the threshold in some channel.

    The background is one colour an image: the median of its border pixels, channel by channel. So an item of the
    background's colour has a silhouette with holes, and a background of several colours counts as part of the item.

    Args:
        images_uint8: uint8 [N, H, W, 3].
        threshold: of 255; above the noise of JPEG and of generators, below the shadows of white clothes on white.

    Returns:
        bool [N, H, W].

    Example:
        >>> image = np.full((1, 4, 4, 3), 250, np.uint8)
        >>> image[0, 1:3, 2] = (250, 250, 229)
        >>> silhouettes(image)[0].astype(int).tolist()
        [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    """
    background = border_medians(images_uint8)
    masks: Masks = (np.abs(images_uint8 - background[:, None, None]) > threshold).any(axis=-1)
    return masks


def border_medians(images_uint8: Images) -> npt.NDArray[np.float32]:
    """float32 [N, 3]: the median of each image's border pixels, channel by channel, of uint8 [N, H, W, 3]."""
    sides = (images_uint8[:, 0], images_uint8[:, -1], images_uint8[:, 1:-1, 0], images_uint8[:, 1:-1, -1])
    return np.median(np.concatenate(sides, axis=1), axis=1).astype(np.float32)


def silhouette_overlap(first: Images, second: Images) -> npt.NDArray[np.float64]:
    """Intersection over union of the silhouettes of pairs of images; 1 where both are empty.

    Args:
        first: uint8 [N, H, W, 3].
        second: uint8 [N, H, W, 3].

    Returns:
        float64 [N].
    """
    one, two = silhouettes(first), silhouettes(second)
    common, either = (mask.sum(axis=(1, 2)) for mask in (one & two, one | two))
    return np.where(either > 0, common / np.maximum(either, 1), 1.0)
