from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.designing.optimize.gradient_ascent import climb, in_chunks
from tfdvbpr.designing.optimize.smoothing import smoothed
from tfdvbpr.designing.options import SMOOTHINGS, Smoothing


def _hill(rows: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """−½(x − 3)² of each coordinate."""
    values = -0.5 * tf.reduce_sum((rows - 3.0) ** 2, axis=1)
    return values, (values, tf.fill(tf.shape(values), tf.cast(step, tf.float32)))


def test_the_first_two_steps_by_hand() -> None:
    """Adam moves by the rate first; then both averages are of nearly equal gradients, so by nearly the rate again."""
    first = tf.constant([[0.0], [5.0]])
    last, figures, path = climb(_hill, first, num_steps=2, learning_rate=0.1, num_figures=2, keep_path=True)
    np.testing.assert_allclose(path[1], [[0.1], [4.9]], atol=1e-5)
    m, v = 0.9 * 0.3 + 0.1 * 2.9, 0.999 * 0.001 * 9.0 + 0.001 * 2.9**2
    second = 0.1 + 0.1 * (m / 0.19) / np.sqrt(v / (1 - 0.999**2))
    np.testing.assert_allclose(last[0], [second], atol=1e-5)
    np.testing.assert_allclose(figures[:, 0, 0], [-4.5, -0.5 * 2.9**2], rtol=1e-5)
    np.testing.assert_allclose(figures[:, 1], [[0, 0], [1, 1]])


def test_it_comes_to_the_top() -> None:
    last, _, path = climb(
        _hill, tf.zeros([3, 2]), num_steps=tf.constant(200), learning_rate=0.1, num_figures=2, keep_path=False
    )
    np.testing.assert_allclose(last, 3.0, atol=0.05)
    assert path is None


def test_who_has_made_her_steps_stands_still() -> None:
    together, _, _ = climb(
        _hill, tf.zeros([2, 1]), num_steps=tf.constant([2, 5]), learning_rate=0.1, num_figures=2, keep_path=False
    )
    for row, steps in enumerate((2, 5)):
        alone, _, _ = climb(_hill, tf.zeros([1, 1]), num_steps=steps, learning_rate=0.1, num_figures=2, keep_path=False)
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-6)


@pytest.mark.parametrize(("num_rows", "chunk_rows", "sizes"), [(7, 3, [3, 3, 3]), (6, 64, [6]), (9, 4, [3, 3, 3])])
def test_chunks_are_even_and_bounded(num_rows: int, chunk_rows: int, sizes: list[int]) -> None:
    seen = []

    def squares(rows: tf.Tensor) -> tf.Tensor:
        seen.append(int(rows.shape[0]))
        return rows**2

    answer = in_chunks(squares, num_rows, chunk_rows=chunk_rows, signature=tf.TensorSpec([None], tf.int32))
    assert seen == sizes
    np.testing.assert_array_equal(answer, np.arange(num_rows) ** 2)


def test_smoothing_changes_all_rows_alike_and_each_step_otherwise() -> None:
    images = tf.repeat(tf.random.stateless_uniform([1, 16, 16, 3], [0, 0], -1, 1), 3, axis=0)
    smoothing = SMOOTHINGS["augment-and-blur"]
    first = smoothed(images, tf.constant(0), smoothing).numpy()
    assert first.shape == images.shape
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_array_equal(first, smoothed(images, tf.constant(0), smoothing))
    assert not np.allclose(first, smoothed(images, tf.constant(1), smoothing))
    np.testing.assert_array_equal(images, smoothed(images, tf.constant(0), SMOOTHINGS["none"]))


def test_a_blur_keeps_flat_pictures_and_the_sum_of_a_point() -> None:
    flat = tf.fill([1, 16, 16, 3], 0.25)
    np.testing.assert_allclose(smoothed(flat, tf.constant(0), Smoothing(blur_stddev=1.0)), flat, atol=1e-6)
    point = np.zeros((1, 17, 17, 3), np.float32)
    point[0, 8, 8] = 1.0
    spread = smoothed(tf.constant(point), tf.constant(0), Smoothing(blur_stddev=1.0)).numpy()
    np.testing.assert_allclose(spread.sum(axis=(1, 2)), 1.0, atol=1e-5)
    assert spread.max() < 0.2


def test_shifts_and_flips_only_move_pixels() -> None:
    images = tf.random.stateless_uniform([1, 16, 16, 3], [0, 0], -1, 1)
    moved = [smoothed(images, tf.constant(step), Smoothing(max_shift=2, flip=True)).numpy() for step in range(6)]
    pixels = {tuple(pixel) for pixel in images.numpy().reshape(-1, 3)}
    assert all(tuple(pixel) in pixels for picture in moved for pixel in picture.reshape(-1, 3))
    assert len({picture.tobytes() for picture in moved}) > 3
