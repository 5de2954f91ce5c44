from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.images.silhouettes import silhouettes
from tfdvbpr.designing.optimize.kept import (
    check_kept,
    colour_distances,
    colour_histograms,
    distances_kept,
    soft_silhouettes,
)
from tfdvbpr.errors import ConfigError

RED, PINK, BLUE = (0.8, -0.8, -0.8), (0.8, -0.4, -0.4), (-0.8, -0.8, 0.8)


def _item(colour: tuple[float, float, float], *, rows: slice = slice(4, 12)) -> np.ndarray:
    """float32 [1, 16, 16, 3]: a rectangle on white."""
    image = np.ones((1, 16, 16, 3), np.float32)
    image[:, rows, 4:12] = colour
    return image


def test_another_place_keeps_the_colours_and_another_colour_the_cut() -> None:
    distances = distances_kept(tf.constant(_item(RED)))
    moved = distances(tf.constant(_item(RED, rows=slice(2, 10))))[0].numpy()
    assert moved[0] < 0.01
    assert moved[1] == pytest.approx(1.0 - 6 / 10, abs=0.03)
    dyed = distances(tf.constant(_item(BLUE)))[0].numpy()
    assert dyed[0] > 0.9
    assert dyed[1] < 0.01
    np.testing.assert_allclose(distances(tf.constant(_item(RED)))[0], 0.0, atol=1e-4)


def test_a_nearer_colour_is_nearer_and_the_gradient_leads_back() -> None:
    red = colour_histograms(tf.constant(_item(RED)))
    near, far = (colour_distances(red, colour_histograms(tf.constant(_item(colour)))) for colour in (PINK, BLUE))
    assert 0.0 < float(near[0]) < float(far[0])
    pink = tf.Variable(_item(PINK))
    with tf.GradientTape() as tape:
        distance = colour_distances(red, colour_histograms(pink))
    gradient = tape.gradient(distance, pink)
    inside = tf.reduce_sum(gradient[:, 4:12, 4:12], axis=(0, 1, 2)).numpy()
    assert (inside[1:] > 0.0).all()
    assert np.isfinite(gradient).all()


def test_soft_silhouettes_are_the_hard_ones_but_near_the_threshold() -> None:
    images = np.concatenate([_item(RED), _item((0.9, 0.9, 0.7))])
    soft = soft_silhouettes(tf.constant(images)).numpy()
    hard = silhouettes(((images + 1.0) * 127.5).round().astype(np.uint8))
    np.testing.assert_array_equal(soft > 0.5, hard)


def test_histograms_sum_to_one() -> None:
    noise = tf.random.stateless_uniform([3, 64, 48, 3], (0, 1), -1.0, 1.0)
    np.testing.assert_allclose(tf.reduce_sum(colour_histograms(noise), axis=1), 1.0, atol=1e-4)


def test_unknown_names() -> None:
    check_kept(["cut", "colour"])
    message = r"`keep` must be one of colour, cut\. Received 'color'\. Nearest: 'colour'\."
    with pytest.raises(ConfigError, match=message):
        check_kept(["color"])
