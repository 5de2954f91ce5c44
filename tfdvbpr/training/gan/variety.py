"""How much two drawings of a category differ, in colours and in shape, as a share of what two photos do."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

COLOURS, SHAPE = range(2)
_CELL = 4
_FLOOR = 0.01
_FAINT = 0.1

Floats = npt.NDArray[np.float32]


class Variety:
    """Pairs of drawings held against pairs of photos.

    Args:
        images: photos, float32 [M, H, W, 3] in [-1, 1].
        category_ids: theirs, int32 [M].
        num_categories: N.

    Attributes:
        photos: `pair_differences` of two photos of a category, their mean a category: float32 [N, 2]. A category with
            one photo or none has the mean of the others; there is a floor of 0.01 for photos that are all the same.
    """

    def __init__(self, images: Floats, category_ids: npt.NDArray[np.int32], num_categories: int) -> None:
        found = np.full((num_categories, 2), np.nan, np.float32)
        for category in np.unique(category_ids):
            of = images[category_ids == category]
            if len(of) > 1:
                pairs = np.stack([of, np.roll(of, 1, axis=0)], axis=1).reshape(-1, *of.shape[1:])
                found[category] = pair_differences(tf.constant(pairs)).numpy().mean(axis=0)
        known = np.isfinite(found[:, COLOURS])
        usual = found[known].mean(axis=0) if known.any() else np.ones(2, np.float32)
        self.photos = np.maximum(np.where(known[:, None], found, usual), np.float32(_FLOOR)).astype(np.float32)

    def shares(self, images: Any, category_ids: Any) -> Any:
        """min(1, d/d_c) of every pair, float32 [B/2, 2]: where drawings differ as much as photos, nothing is to gain.

        Args:
            images: float32 [B, H, W, 3], every two of one category.
            category_ids: int32 [B].
        """
        return tf.minimum(pair_differences(images) / tf.gather(self.photos, category_ids[::2]), 1.0)


def pair_differences(images: Any) -> Any:
    """How every picture at an even place differs from the next: float32 [B/2, 2], of colours and of shape.

    A picture is seen in cells of 4×4 pixels, so that neither noise nor a shift of a pixel counts. Colours differ by the
    mean of |x - y|. Shapes differ by 1 - cos(x, y) of how much darker than white each cell is, whatever its colour: the
    same thing in another colour, or paler, is the same shape; two white pictures have one too, for x and y have a
    further small number that is the same in all.

    Args:
        images: float32 [B, H, W, 3] in [-1, 1].
    """
    cells = tf.nn.avg_pool2d(images, _CELL, _CELL, "VALID")
    colours = tf.reduce_mean(tf.abs(cells[::2] - cells[1::2]), axis=(1, 2, 3))
    darkness = 1.0 - tf.reduce_mean(cells, axis=3)
    length = tf.sqrt(tf.reduce_sum(tf.square(darkness), axis=(1, 2), keepdims=True) + _FAINT**2)
    silhouettes = darkness / length
    alike = tf.reduce_sum(silhouettes[::2] * silhouettes[1::2], axis=(1, 2))
    alike += _FAINT**2 / (length[::2] * length[1::2])[:, 0, 0]
    shape = 1.0 - alike
    return tf.stack([colours, shape], axis=1)
