"""What images are compared by when photos are matched with samples, and the principal components of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from scipy.special import ndtri

from tfdvbpr.models.gans.discriminator import Features
from tfdvbpr.training.gan.pull import cell_spreads

Floats = npt.NDArray[np.float32]

_ROWS, _CELLS = 24, 8  # of thumbnails and of feature maps
_COMPONENTS, MOST_FITTED = 256, 2_000
_BLOCK = 1_024  # photos, of distances to a pool


def descriptors(features: Features, *, textures: bool = False) -> list[tf.Tensor]:
    """Makes thumbnails of 24 rows, and averages the other feature maps to about eight cells a side.

    Args:
        features: float32 [B, h, w, C] each, the last the images themselves, as of `Discriminator.features`.
        textures: of maps of eight positions or more a side, take the spreads in two cells a side, for which it does not
            matter where a pattern begins.

    Returns:
        float32 [B, F] each, the thumbnails first.
    """
    *maps, images = features
    _, height, width, _ = images.shape
    parts = [tf.image.resize(images, (_ROWS, max(round(_ROWS * width / height), 1)), method="area")]
    for each in maps:
        side = max(each.shape[1:3])
        cell = max(1, round(side / _CELLS))
        fine = textures and side >= _CELLS
        parts.append(cell_spreads(each, side // 2) if fine else tf.nn.avg_pool2d(each, cell, cell, "SAME"))
    return [tf.reshape(part, (tf.shape(part)[0], -1)) for part in parts]


@dataclass(frozen=True)
class PrincipalComponents:
    """The first principal components of descriptors, of which thumbnails and all feature maps together count alike.

    Distances of components are those of scaled descriptors, but for directions in which photos hardly differ.

    Attributes:
        basis: float32 [F, K], K ≤ 256.
    """

    basis: Floats

    @classmethod
    def fitted(cls, parts: Sequence[Floats]) -> PrincipalComponents:
        """Of descriptors of photos, float32 [N, F_i] each; N should be `MOST_FITTED` at most, for N² numbers are kept.

        The variances of the thumbnails' numbers sum to 1, and those of each of n - 1 other parts to 1/(n - 1).
        """
        kept = [part - part.mean(axis=0) for part in parts]
        totals = [max(float(part.var(axis=0, dtype=np.float64).sum()), 1e-12) for part in kept]
        shares = [1.0, *(1.0 / (len(parts) - 1) for _ in parts[1:])]
        factors = [np.float32((share / total) ** 0.5) for share, total in zip(shares, totals, strict=True)]
        photos = np.concatenate([part * factor for part, factor in zip(kept, factors, strict=True)], axis=1)
        values, vectors = np.linalg.eigh((photos @ photos.T).astype(np.float64))  # of the Gram matrix, [n, n]
        largest = np.argsort(-values)[:_COMPONENTS]
        largest = largest[values[largest] > 1e-9 * values.max()] if values.max() > 0 else largest[:1]
        directions = photos.T @ (vectors[:, largest] / np.sqrt(np.maximum(values[largest], 1e-12))).astype(np.float32)
        scales = np.concatenate([np.full(part.shape[1], factor) for part, factor in zip(kept, factors, strict=True)])
        return cls((directions * scales[:, None]).astype(np.float32))

    def of(self, parts: Sequence[Floats]) -> Floats:
        """float32 [B, K], of descriptors float32 [B, F_i] each."""
        return np.concatenate(parts, axis=1) @ self.basis


def component_latents(photos: Floats, latent_dim: int, random: np.random.Generator) -> Floats:
    """Latents of photos of one category: their principal components, each made N(0, 1) by its ranks.

    Args:
        photos: float32 [N, K].
        latent_dim: with fewer than so many components the rest is random.
        random: of that rest.

    Returns:
        float32 [N, latent_dim]: a number's rank r of 0 to N - 1 within its component becomes Φ⁻¹((r + ½)/N).
    """
    _, _, directions = np.linalg.svd(photos - photos.mean(axis=0), full_matrices=False)
    components = photos @ directions[:latent_dim].T
    ranks = components.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    latents = random.standard_normal((len(photos), latent_dim)).astype(np.float32)
    latents[:, : components.shape[1]] = ndtri((ranks + 0.5) / len(photos))
    return latents


def nearest_unlike(photos: Floats, samples: Floats, rejected: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """Finds each photo's nearest sample among those that are not within ε of any photo.

    Args:
        photos: float32 [N, K].
        samples: float32 [P, K].
        rejected: ε as a quantile of the photos' distances to their nearest samples, in [0, 1); 0 rejects none.

    Returns:
        int64 [N], rows of samples, and float32 [N], the distance of each photo to its nearest sample of all.
    """
    blocks = [photos[start : start + _BLOCK] for start in range(0, len(photos), _BLOCK)]
    nearest, nearest_photo = np.empty(0, np.float32), np.full(len(samples), np.inf, np.float32)
    for block in blocks:
        distances = _squared_distances(block, samples)
        nearest = np.concatenate([nearest, distances.min(axis=1)])
        nearest_photo = np.minimum(nearest_photo, distances.min(axis=0))
    kept = nearest_photo > np.quantile(nearest, rejected) if rejected else np.ones(len(samples), bool)
    rows = np.flatnonzero(kept if kept.any() else ~kept)
    chosen = [rows[_squared_distances(block, samples[rows]).argmin(axis=1)] for block in blocks]
    return np.concatenate(chosen), np.sqrt(np.maximum(nearest, 0.0))


def _squared_distances(photos: Floats, samples: Floats) -> Floats:
    """float32 [N, P]."""
    squares = np.square(photos).sum(axis=1)[:, None] + np.square(samples).sum(axis=1)
    distances: Floats = squares - 2.0 * photos @ samples.T
    return distances
