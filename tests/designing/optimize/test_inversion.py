"""Perceptual features; inversion and tailoring with networks that can be computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.optimize.inversion import (
    PerceptualFeatures,
    feature_distances,
    feature_layers,
    invert,
    pixel_distances,
    tailor,
)
from tfdvbpr.designing.optimize.objective import DesignObjective
from tfdvbpr.designing.options import TailorOptions
from tfdvbpr.losses.adversarial import LeastSquares
from tfdvbpr.run import Run

OPTIONS = TailorOptions(num_candidates=8, num_starts=2, invert_steps=150, num_steps=60)


class _Identity:
    """G, whose image of 1×1 pixels is z itself; D, which calls everything real; and Φ, which is the image's colours."""

    output_shape = (None, 1, 1, 3)
    image_size = (1, 1)

    def __call__(self, inputs: dict[str, Any], *, training: bool) -> Any:
        if "latents" in inputs:
            return inputs["latents"][:, None, None, :]
        return tf.ones_like(inputs["images"][:, 0, 0, 0])

    def embed_images(self, images: Any, *, training: bool) -> Any:
        return images[:, 0, 0, :]


class _Pixels:
    def distance_to(self, images: Any) -> Any:
        return lambda others: tf.reduce_sum((images - others) ** 2, axis=(1, 2, 3))


NETWORK: Any = _Identity()
FEATURES: Any = _Pixels()


@pytest.fixture(scope="module")
def objective() -> DesignObjective:
    return DesignObjective(NETWORK, NETWORK, NETWORK, adversarial=LeastSquares())


def test_latents_are_found_again(objective: DesignObjective) -> None:
    """The weight of ½‖z‖²/L, 0.01, draws them in by 1/600 of their length at most."""
    images = tf.constant([[[[0.5, -0.3, 0.1]]], [[[-0.9, 0.0, 0.7]]]])
    found = invert(
        objective,
        FEATURES,
        images,
        tf.zeros([2], tf.int32),
        tf.constant([1, 2], tf.int64),
        options=OPTIONS,
        latent_dim=3,
    )
    np.testing.assert_allclose(found["latents"], images[:, 0, 0], atol=0.02)
    np.testing.assert_allclose(found["images"], images, atol=0.02)
    assert (found["losses"].numpy() < 1e-3).all()
    assert (found["typical"].numpy() > 0.5).all()


def test_the_distance_holds_an_item_back(objective: DesignObjective) -> None:
    """strength · z₁ − 4 · z₁²/typical is greatest at z₁ = strength · typical / 8."""
    strengths, typical = tf.constant([0.0, 0.5, 1.0]), tf.constant([2.0, 2.0, 2.0])
    moved = tailor(
        objective,
        FEATURES,
        tf.zeros([3, 3]),
        typical,
        tf.constant([[1.0, 0.0, 0.0]] * 3),
        tf.zeros([3], tf.int32),
        strengths,
        tf.zeros([3, 2]),
        options=OPTIONS,
        snapshot_steps=tf.constant([0, 60]),
    )
    np.testing.assert_allclose(moved["latents"][:, 0], strengths * typical / 8, atol=0.02)
    np.testing.assert_allclose(moved["preferences"], moved["latents"][:, 0], atol=1e-6)
    np.testing.assert_allclose(moved["distances"], moved["latents"][:, 0] ** 2 / typical, atol=1e-6)
    assert moved["history_preferences"].shape == (3, 61)
    assert moved["frames"].shape == (2, 3, 1, 1, 3)
    np.testing.assert_array_equal(moved["frames"][-1], moved["images"])


def test_every_row_may_have_its_own_steps(objective: DesignObjective) -> None:
    moved = tailor(
        objective,
        FEATURES,
        tf.zeros([2, 3]),
        tf.ones([2]),
        tf.constant([[1.0, 0.0, 0.0]] * 2),
        tf.zeros([2], tf.int32),
        tf.ones([2]),
        tf.zeros([2, 2]),
        options=OPTIONS,
        num_steps=tf.constant([1, 2]),
    )
    np.testing.assert_allclose(moved["latents"][0, 0], 0.05, atol=1e-3)
    assert moved["latents"][1, 0] > moved["latents"][0, 0]


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
