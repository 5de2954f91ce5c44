"""What a generator draws while it is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfdvbpr.data.images import to_uint8


def sample_grid(
    generator: Any, *, num_categories: int, latent_dim: int, columns: int = 8, seed: int = 0
) -> npt.NDArray[np.uint8]:
    """uint8 [num_categories, columns, H, W, 3]: a row a category, the same latents each time and in each row.

    Args:
        generator: from {"latents", "category_ids"} to float32 [B, H, W, 3] in [-1, 1].
        num_categories: rows.
        latent_dim: length of z.
        columns: latents.
        seed: of the latents.
    """
    latents = np.random.default_rng(seed).standard_normal((columns, latent_dim)).astype(np.float32)
    rows = []
    for category in range(num_categories):
        inputs = {"latents": tf.constant(latents), "category_ids": tf.fill([columns], category)}
        rows.append(to_uint8(generator(inputs, training=False)).numpy())
    return np.stack(rows)
