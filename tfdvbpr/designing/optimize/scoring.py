"""What a recommender thinks of pictures: of a second one, too, which no ascent has seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.designing.audience import Tastes, check_designs
from tfdvbpr.run import Run

_ROWS = 256
Floats = npt.NDArray[np.float32]


def embed_pictures(run: Run, images_uint8: npt.NDArray[np.uint8]) -> Floats:
    """Φ(Δ x) of pictures of any size, brought to the run's by nearest neighbour: float32 [N, D].

    Args:
        run: a DVBPR run.
        images_uint8: uint8 [N, H, W, 3].

    Raises:
        RunError: if the run does not learn from pixels.
    """
    check_designs(run)
    size = run.manifest.image_size
    parts = []
    for start in range(0, len(images_uint8), _ROWS):
        images = to_float(tf.constant(images_uint8[start : start + _ROWS]))
        if tuple(images.shape[1:3]) != tuple(size):
            images = tf.image.resize(images, size, method="nearest")
        parts.append(run.recommender.embed_images(images, training=False).numpy())
    return np.concatenate(parts) if parts else np.zeros((0, run.config.embedding_dim), np.float32)


def score_pictures(run: Run, images_uint8: npt.NDArray[np.uint8], tastes: Any) -> Floats:
    """θᵀΦ(Δ x): float32 [N].

    Args:
        run: a DVBPR run.
        images_uint8: uint8 [N, H, W, 3].
        tastes: of that run: float32 [N, D], one person a picture, or `Tastes` of matching rows or of one for all.

    Raises:
        RunError: if the run does not learn from pixels.
    """
    tastes = tastes if isinstance(tastes, Tastes) else Tastes.of(tastes)
    embeddings = tf.constant(embed_pictures(run, images_uint8))
    scores: Floats = tastes.together(tastes.members(embeddings)).numpy()
    return scores
