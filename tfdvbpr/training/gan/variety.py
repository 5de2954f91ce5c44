"""How much two generated images of a category differ in colour, relative to two photos of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

_CELL = 4
_FLOOR = 0.01

Floats = npt.NDArray[np.float32]


class Variety:
    """Compares pairs of generated images with pairs of photos.

    Args:
        images: photos, float32 [M, H, W, 3] in [-1, 1].
        category_ids: theirs, int32 [M].
        num_categories: N.

    Attributes:
        photo_differences: the mean `pair_differences` of two photos of each category, float32 [N]. A category with one
            photo or none has the mean of the others; there is a floor of 0.01 for photos that are all the same.
    """

    def __init__(self, images: Floats, category_ids: npt.NDArray[np.int32], num_categories: int) -> None:
        found = np.full(num_categories, np.nan, np.float32)
        for category in np.unique(category_ids):
            photos = images[category_ids == category]
            if len(photos) > 1:
                pairs = np.stack([photos, np.roll(photos, 1, axis=0)], axis=1).reshape(-1, *photos.shape[1:])
                differences = pair_differences(tf.constant(pairs)).numpy()
                found[category] = sum(differences) / len(differences)  # one by one: a fixed order of additions
        known = np.isfinite(found)
        usual = found[known].mean(axis=0) if known.any() else np.float32(1.0)
        self.photo_differences = np.maximum(np.where(known, found, usual), np.float32(_FLOOR)).astype(np.float32)

    def __call__(self, images: Any, category_ids: Any) -> Any:
        """min(1, d/d_c) of every pair, float32 [B/2]: nothing is to gain where images differ as much as photos do.

        Args:
            images: generated, float32 [B, H, W, 3] in [-1, 1], every two of one category.
            category_ids: int32 [B].
        """
        return tf.minimum(pair_differences(images) / tf.gather(self.photo_differences, category_ids[::2]), 1.0)


def pair_differences(images: Any) -> Any:
    """The mean of |x - y| of every image at an even row and the next: float32 [B/2].

    x and y are means of cells of 4×4 pixels, so that neither noise nor a shift of a pixel counts.

    Args:
        images: float32 [B, H, W, 3] in [-1, 1].
    """
    cells = tf.nn.avg_pool2d(images, _CELL, _CELL, "VALID")
    return tf.reduce_mean(tf.abs(cells[::2] - cells[1::2]), axis=(1, 2, 3))
