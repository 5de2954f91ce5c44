from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfdvbpr.designing.optimize.selection import colour_features, select_diverse

# Two near copies with the best objectives, one that is a little worse and looks different, one that is bad.
VALUES = np.array([[4.0, 3.9, 3.5, -9.0]], np.float32)
FEATURES = np.array([[[0.0], [0.01], [1.0], [5.0]]], np.float32)


def _selected(number: object, diversity: float) -> list[list[int]]:
    kept: list[list[int]] = (
        select_diverse(tf.constant(VALUES), tf.constant(FEATURES), tf.constant(number), diversity=diversity)
        .numpy()
        .tolist()
    )
    return kept


def test_without_diversity_the_best_are_kept() -> None:
    assert _selected(2, 0.0) == [[0, 1]]
    assert _selected(4, 0.0) == [[0, 1, 2, 3]]


def test_with_diversity_a_near_copy_is_left_out() -> None:
    assert _selected(2, 0.5) == [[0, 2]]
    assert _selected(3, 0.5) == [[0, 1, 2]]  # by falling objective; the bad one is left out


def test_all_of_them_are_in_the_order_of_the_objective() -> None:
    assert _selected(4, 2.0) == [[0, 1, 2, 3]]


def test_every_request_may_have_a_number_of_its_own() -> None:
    values, features = np.repeat(VALUES, 2, axis=0), np.repeat(FEATURES, 2, axis=0)
    kept = select_diverse(tf.constant(values), tf.constant(features), tf.constant([3, 2]), diversity=0.5).numpy()
    assert kept[0].tolist() == [0, 1, 2]
    assert kept[1, :2].tolist() == [0, 2]


def test_equal_designs_do_not_divide_by_zero() -> None:
    kept = select_diverse(tf.zeros([1, 3]), tf.zeros([1, 3, 2]), tf.constant(2), diversity=0.5).numpy()
    assert len(set(kept[0])) == 2


def test_features_are_the_mean_colours_of_cells() -> None:
    image = np.zeros((1, 64, 48, 3), np.float32)
    image[0, :8, :6] = 1.0  # the first of 8×8 cells
    cell = colour_features(tf.constant(image)).numpy().reshape(8, 8, 3) * np.sqrt(192)
    np.testing.assert_allclose(cell[0, 0], 1.0, rtol=1e-6)
    np.testing.assert_allclose(np.abs(cell).sum(), 3.0, rtol=1e-6)
