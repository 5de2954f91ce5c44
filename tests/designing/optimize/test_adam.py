from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.designing.optimize.adam import adam_ascent


def _quadratic(rows: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """−½(x − 3)² of each coordinate."""
    values = -0.5 * tf.reduce_sum((rows - 3.0) ** 2, axis=1)
    return values, (values, tf.fill(tf.shape(values), tf.cast(step, tf.float32)))


def test_the_first_two_steps_by_hand() -> None:
    """Adam moves by the rate first; then both averages are of nearly equal gradients, so by nearly the rate again."""
    first = tf.constant([[0.0], [5.0]])
    last, figures, path = adam_ascent(_quadratic, first, num_steps=2, learning_rate=0.1, num_figures=2, keep_path=True)
    np.testing.assert_allclose(path[1], [[0.1], [4.9]], atol=1e-5)
    m, v = 0.9 * 0.3 + 0.1 * 2.9, 0.999 * 0.001 * 9.0 + 0.001 * 2.9**2
    second = 0.1 + 0.1 * (m / 0.19) / np.sqrt(v / (1 - 0.999**2))
    np.testing.assert_allclose(last[0], [second], atol=1e-5)
    np.testing.assert_allclose(figures[:2, 0, 0], [-4.5, -0.5 * 2.9**2], rtol=1e-5)
    np.testing.assert_allclose(figures[:, 1], [[0, 0], [1, 1], [2, 2]])
    np.testing.assert_allclose(figures[2, 0], -0.5 * (last[:, 0] - 3.0) ** 2, rtol=1e-5)


def test_it_reaches_the_maximum() -> None:
    last, _, path = adam_ascent(
        _quadratic, tf.zeros([3, 2]), num_steps=tf.constant(200), learning_rate=0.1, num_figures=2, keep_path=False
    )
    np.testing.assert_allclose(last, 3.0, atol=0.05)
    assert path is None


def test_finished_rows_are_frozen() -> None:
    settings = {"learning_rate": 0.1, "num_figures": 2, "keep_path": False}
    together, _, _ = adam_ascent(_quadratic, tf.zeros([2, 1]), num_steps=tf.constant([2, 5]), **settings)
    for row, steps in enumerate((2, 5)):
        alone, _, _ = adam_ascent(_quadratic, tf.zeros([1, 1]), num_steps=steps, **settings)
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-6)


def test_on_the_sphere_rows_turn_toward_the_maximum_and_keep_their_norms() -> None:
    """On a circle the nearest point to (3, 3) is on the diagonal, whatever the radius; the centre's is beyond reach."""
    first = tf.constant([[2.0, 0.1], [-0.3, 1.0], [0.2, -1.5]])
    last, _, path = adam_ascent(
        _quadratic, first, num_steps=300, learning_rate=0.03, num_figures=2, keep_path=True, on_sphere=True
    )
    norms = np.linalg.norm(first, axis=1)
    np.testing.assert_allclose(np.linalg.norm(path, axis=2), np.tile(norms, (301, 1)), rtol=1e-4)
    np.testing.assert_allclose(last, np.repeat(norms[:, None], 2, axis=1) / np.sqrt(2.0), atol=0.05)


def test_the_first_step_on_the_sphere_by_hand() -> None:
    """The gradient at (4, 3) is (−1, 0); without its part along the row, (−0.36, 0.48); Adam moves by its signs."""
    arguments = {"num_steps": 1, "learning_rate": 0.1, "num_figures": 2, "keep_path": False}
    last, _, _ = adam_ascent(_quadratic, tf.constant([[4.0, 3.0]]), **arguments, on_sphere=True)
    moved = np.array([3.9, 3.1])
    np.testing.assert_allclose(last[0], 5.0 * moved / np.linalg.norm(moved), atol=1e-5)


def test_a_row_goes_back_and_stays_where_the_next_step_is_not_allowed() -> None:
    """Steps of 0.1 toward 3: allowed up to 0.25, or only beyond 0.25 where a row never was allowed before."""

    def values(rows: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        worth, _ = _quadratic(rows, step)
        return worth, (worth, rows[:, 0])

    def ascent(allowed: Any, steps: int = 6) -> Any:
        arguments = {"learning_rate": 0.1, "num_figures": 2, "keep_path": True}
        return adam_ascent(values, tf.zeros([2, 1]), num_steps=steps, **arguments, allowed=allowed)

    last, figures, path = ascent(lambda figures: figures[1] < [0.25, 9.0])
    np.testing.assert_allclose(path[:, 0, 0], [0.0, 0.1, 0.2, 0.2, 0.2, 0.2, 0.2], atol=0.01)
    np.testing.assert_allclose(path[:, 1, 0], np.arange(7) * 0.1, atol=0.02)
    np.testing.assert_array_equal(figures[:, 1], path[:, :, 0])
    np.testing.assert_array_equal(last, path[-1])
    _, _, path = ascent(lambda figures: figures[1] < [0.55, 9.0])
    np.testing.assert_allclose(path[-2:, 0, 0], 0.5, atol=0.02)
    _, _, path = ascent(lambda figures: figures[1] > [0.25, 9.0])
    np.testing.assert_allclose(path[:, :, 0], np.arange(7)[:, None] * [0.1, 0.1], atol=0.02)
