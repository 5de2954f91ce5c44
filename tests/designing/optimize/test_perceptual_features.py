from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.optimize.perceptual_features import (
    PerceptualFeatures,
    feature_distances,
    feature_layers,
    pixel_distances,
)
from tfdvbpr.run import Run


def test_the_backbones_maps_from_large_to_small(tiny_run: Run) -> None:
    sizes = [tuple(layer.output.shape[1:3]) for layer in feature_layers(tiny_run.recommender.backbone)]
    assert sizes == [(16, 16), (8, 8), (4, 4), (2, 2)]


def test_the_distance_is_zero_for_equal_images_and_grows(tiny_run: Run, checkerboard_dataset: PreparedDataset) -> None:
    images = tf.constant(checkerboard_dataset.images.read(np.array([0, 1])).astype(np.float32) / 127.5 - 1.0)
    distance = PerceptualFeatures.of_backbone(tiny_run.recommender.backbone).distance_to(images)
    np.testing.assert_allclose(distance(images), 0.0, atol=1e-6)
    near, far = distance(images + 0.05), distance(images[::-1])
    assert (near.numpy() < far.numpy()).all()


def test_golden_distances() -> None:
    """Two cells of two channels: equal in one, orthogonal in the other; ‖(1, 0) − (0, 1)‖² = 2, half of it."""
    first = [tf.constant([[[[1.0, 0.0], [1.0, 0.0]]]])]
    second = [tf.constant([[[[1.0, 0.0], [0.0, 1.0]]]])]
    assert float(feature_distances(first, second)[0]) == pytest.approx(1.0)
    assert float(pixel_distances(tf.zeros([1, 2, 2, 3]), tf.fill([1, 2, 2, 3], 0.5))[0]) == pytest.approx(0.25)
