from __future__ import annotations

import numpy as np

from tfdvbpr.data.images.silhouettes import silhouette_overlap, silhouettes


def _squares(*corners: tuple[int, int], ground: int = 240) -> np.ndarray:
    """A 6×6 dark square on an even background, an image a corner."""
    images = np.full((len(corners), 20, 16, 3), ground, np.uint8)
    for image, (row, column) in zip(images, corners, strict=True):
        image[row : row + 6, column : column + 6] = (240, 30, 240)
    return images


def test_the_silhouette_is_what_differs_from_the_border() -> None:
    images = _squares((3, 4))
    expected = np.zeros((20, 16), bool)
    expected[3:9, 4:10] = True
    np.testing.assert_array_equal(silhouettes(images)[0], expected)
    noisy = images.astype(int) + np.random.default_rng(0).integers(-8, 9, images.shape)
    np.testing.assert_array_equal(silhouettes(noisy.clip(0, 255).astype(np.uint8))[0], expected)
    dark = 255 - images
    np.testing.assert_array_equal(silhouettes(dark)[0], expected)  # whatever the background's colour
    cut_off = _squares((14, 4))  # it touches the border, most of which is background
    assert silhouettes(cut_off).sum() == 36


def test_the_threshold_is_exceeded_in_one_channel() -> None:
    image = np.full((1, 9, 9, 3), 200, np.uint8)
    image[0, 4, 4, 1] = 180
    image[0, 5, 5, 2] = 179
    assert np.argwhere(silhouettes(image)[0]).tolist() == [[5, 5]]


def test_overlap_by_hand() -> None:
    """Two 6×6 squares that share 6×3 pixels, the same, two apart, and two even images."""
    first = np.concatenate([_squares((3, 4), (3, 4), (1, 1)), np.full((1, 20, 16, 3), 9, np.uint8)])
    second = np.concatenate([_squares((3, 7), (3, 4), (9, 9)), np.full((1, 20, 16, 3), 90, np.uint8)])
    np.testing.assert_allclose(silhouette_overlap(first, second), [18 / 54, 1.0, 0.0, 1.0])
    np.testing.assert_array_equal(silhouette_overlap(second, first), silhouette_overlap(first, second))
