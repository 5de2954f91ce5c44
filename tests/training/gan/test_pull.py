from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.training.gan.pull import PULLS, cell_spreads, pixel_distances, position_distances


def test_distances_by_position_by_hand() -> None:
    """Maps differ by 1 and by 3, so mean squares are 1 and 9; pixels by ½, so 4 · ½."""
    ones = tf.ones((2, 4, 4, 3))
    found = position_distances([ones, ones, ones], [2.0 * ones, 4.0 * ones, 0.5 * ones])
    np.testing.assert_allclose(found, [7.0, 7.0])
    np.testing.assert_allclose(position_distances([ones], [0.5 * ones]), [2.0, 2.0])


def test_pixel_distances_by_hand() -> None:
    """A difference of ½ everywhere counts at three sizes; one that alternates only where it is not averaged away."""
    zeros, alternating = np.zeros((1, 8, 8, 3), np.float32), np.ones((1, 8, 8, 3), np.float32)
    alternating[:, :, ::2] = -1.0
    np.testing.assert_allclose(pixel_distances(zeros, zeros + 0.5), [4 * 3 * 0.25])
    np.testing.assert_allclose(pixel_distances(zeros, alternating), [4.0])


def _stripes(offset: int) -> np.ndarray:
    """Two rows white, two black."""
    rows = (np.arange(32) + offset) // 2 % 2 * 2.0 - 1.0
    return np.broadcast_to(rows[None, :, None, None], (1, 32, 32, 3)).astype(np.float32)


def test_stripes_elsewhere_are_near_by_texture_and_far_by_position() -> None:
    """By position, the grey mean of all stripes is nearer to stripes than other stripes are."""
    photo, shifted, grey = _stripes(0), _stripes(2), np.zeros((1, 32, 32, 3), np.float32)
    by_texture, by_position = (PULLS[name] for name in ("textures", "positions"))
    assert float(by_position([photo, photo], [shifted, shifted])[0]) > float(by_position([photo] * 2, [grey] * 2)[0])
    assert float(by_texture([photo, photo], [shifted, shifted])[0]) < 1e-5
    assert float(by_texture([photo, photo], [grey, grey])[0]) > 1.0


def test_spreads_of_cells_by_hand() -> None:
    spreads = cell_spreads(tf.constant(_stripes(0)), 8)
    assert spreads.shape == (1, 4, 4, 3)
    np.testing.assert_allclose(spreads, np.sqrt(1.01), rtol=1e-5)


@pytest.mark.parametrize("name", PULLS)
def test_a_distance_is_zero_of_equals_and_has_gradients(name: str) -> None:
    random = np.random.default_rng(0)
    features = [random.standard_normal((2, side, side, 3)).astype(np.float32) for side in (16, 8, 4, 32)]
    np.testing.assert_allclose(PULLS[name](features, features), 0.0, atol=1e-6)
    samples = [tf.zeros_like(each) for each in features]
    with tf.GradientTape() as tape:
        tape.watch(samples)
        loss = tf.reduce_sum(PULLS[name](features, samples))
    assert float(loss) > 0
    assert all(np.isfinite(slope.numpy()).all() for slope in tape.gradient(loss, samples))
