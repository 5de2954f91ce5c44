"""Blurred images and their features, against a convolution written out."""

from __future__ import annotations

import numpy as np
import pytest

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.evaluation.generative.features import FeatureSpace, blurred
from tfdvbpr.models.features import FEATURE_EXTRACTORS, catalogue

NAME = "colour-and-edges"


def test_blurred_is_a_gaussian_convolution_mirrored_at_the_border() -> None:
    sigma, reach = 1.5, 6
    line = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    window = np.outer(line, line) / line.sum() ** 2
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 14, 3)).astype(np.uint8)
    padded = np.pad(images.astype(float), ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    expected = np.zeros(images.shape)
    for row in range(2 * reach + 1):
        for column in range(2 * reach + 1):
            expected += window[row, column] * padded[:, row : row + 9, column : column + 14]
    found = blurred(images, sigma)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found, expected, atol=0.51)  # rounded
    even = np.full((1, 8, 8, 3), 200, np.uint8)
    np.testing.assert_array_equal(blurred(even, sigma), even)
    np.testing.assert_array_equal(blurred(images[:1], sigma), found[:1])  # no image reaches into another


def test_photos_features_are_cached_by_blur_and_rows(
    checkerboard_dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract, read = FEATURE_EXTRACTORS[NAME], checkerboard_dataset.images.read
    folder = checkerboard_dataset.path / catalogue.FOLDER
    for path in folder.glob(f"{NAME}-*"):
        path.unlink()
    plain, softened = FeatureSpace(NAME, extract), FeatureSpace(NAME, extract, 2.5)
    assert (plain.label, softened.label) == (NAME, f"{NAME}_blurred")
    images, rows = read(np.arange(16)), np.array([3, 5])
    found = [
        plain.of_photos(checkerboard_dataset),
        softened.of_photos(checkerboard_dataset),
        plain.of_blurred_photos(checkerboard_dataset, rows, 0.8),
        softened.of_blurred_photos(checkerboard_dataset, rows, 0.8),
        softened.of_blurred_photos(checkerboard_dataset, rows + 1, 0.8),
    ]
    expected = [
        extract(images),
        extract(blurred(images, 2.5)),
        extract(blurred(images[rows], 0.8)),
        extract(blurred(blurred(images[rows], 0.8), 2.5)),
        extract(blurred(blurred(images[rows + 1], 0.8), 2.5)),
    ]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(softened.extract(images), found[1])
    assert len(list(folder.glob(f"{NAME}-*"))) == 5
    monkeypatch.setattr(catalogue, "compute_features", lambda *given, **options: pytest.fail("computed again"))
    np.testing.assert_array_equal(softened.of_photos(checkerboard_dataset), found[1])
    np.testing.assert_array_equal(softened.of_blurred_photos(checkerboard_dataset, rows + 1, 0.8), found[4])
    np.testing.assert_array_equal(catalogue.catalogue_features(checkerboard_dataset, NAME), found[0])
