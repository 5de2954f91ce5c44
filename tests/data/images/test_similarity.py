"""SSIM and MS-SSIM against a direct implementation in NumPy and SciPy; nearest neighbours against scikit-learn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import signal
from sklearn.neighbors import NearestNeighbors

from tfdvbpr.data.images.similarity import (
    WEIGHTS,
    ms_ssim,
    nearest_members,
    num_scales,
    squared_distances,
    ssim,
)

Array = npt.NDArray[np.float64]


def _images() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Three pairs: a little noise, much noise, two different images."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:44, 0:52]
    base = 127 + 90 * np.stack([np.sin(x / 7 + c) * np.cos(y / 5) for c in range(3)], axis=-1)
    other = 127 + 90 * np.stack([np.cos(x / 3 - c) * np.sin(y / 9) for c in range(3)], axis=-1)
    first = np.stack([base, base, base])
    second = np.stack([base + rng.normal(0, 5, base.shape), base + rng.normal(0, 60, base.shape), other])
    return first.clip(0, 255).astype(np.uint8), second.clip(0, 255).astype(np.uint8)


def _window() -> Array:
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    square = np.outer(line, line)
    return square / square.sum()


def _terms(x: Array, y: Array) -> tuple[float, float]:
    """Mean SSIM and mean contrast-structure term of one channel."""

    def smooth(values: Array) -> Array:
        return signal.convolve2d(values, _window(), mode="valid")

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = smooth(x), smooth(y)
    vx, vy, cov = smooth(x * x) - mx * mx, smooth(y * y) - my * my, smooth(x * y) - mx * my
    structure = (2 * cov + c2) / (vx + vy + c2)
    luminance = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
    return float((luminance * structure).mean()), float(structure.mean())


def _direct(x: Array, y: Array, weights: Array) -> float:
    """One channel: contrast and structure at every scale but the coarsest, where luminance comes in."""
    product = 1.0
    for number, weight in enumerate(weights):
        whole, structure = _terms(x, y)
        last = number == len(weights) - 1
        product *= max(whole if last else structure, 0.0) ** weight
        x, y = (v.reshape(v.shape[0] // 2, 2, v.shape[1] // 2, 2).mean((1, 3)) if not last else v for v in (x, y))
    return product


def test_against_a_direct_implementation() -> None:
    first, second = _images()
    assert num_scales((44, 52)) == 3
    weights = np.array(WEIGHTS[:3]) / sum(WEIGHTS[:3])
    channels = np.moveaxis(np.stack([first, second]).astype(np.float64), -1, 2)  # [2, N, 3, H, W]
    by_hand = [[_terms(x, y)[0] for x, y in zip(*pair, strict=True)] for pair in channels.swapaxes(0, 1)]
    np.testing.assert_allclose(ssim(first, second), np.mean(by_hand, axis=1), atol=1e-4)
    multi = [[_direct(x, y, weights) for x, y in zip(*pair, strict=True)] for pair in channels.swapaxes(0, 1)]
    found = ms_ssim(first, second)
    np.testing.assert_allclose(found, np.mean(multi, axis=1), atol=1e-4)
    assert found[0] > found[1] > found[2]
    np.testing.assert_allclose(ms_ssim(first, first), 1, atol=1e-6)


def test_scales_that_fit() -> None:
    assert [num_scales(size) for size in ((176, 300), (175, 300), (64, 48), (16, 16))] == [5, 4, 3, 1]
    with pytest.raises(ValueError, match="at least 11"):
        num_scales((10, 64))


def test_nearest_members_as_another_library_finds_them() -> None:
    rng = np.random.default_rng(0)
    queries, members = rng.normal(size=(1100, 5)), rng.normal(size=(70, 5))  # more than a chunk of rows
    found = nearest_members(queries, members, k=4)
    distances, rows = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(members).kneighbors(queries)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_allclose(found.distances, distances, atol=1e-7)
    np.testing.assert_allclose(np.sqrt(squared_distances(queries, members)).min(axis=1), distances[:, 0], atol=1e-7)
    assert nearest_members(members, members).distances.max() == 0
    with pytest.raises(ValueError, match="1 to the 70 members"):
        nearest_members(queries, members, k=71)
