from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.optimizers.schedules import averages_in_place, clip_gradients, learning_rate


def _rates(steps: list[int], **values: object) -> list[float]:
    """Of ten epochs of ten steps, from 1."""
    schedule = learning_rate(recommender_config("dvbpr", epochs=10, **values), 1.0, steps_per_epoch=10)
    if not callable(schedule):
        return [schedule] * len(steps)
    return [float(schedule(step)) for step in steps]


def test_golden_schedules() -> None:
    """A cosine is half way between its ends in the middle; steps of a tenth fall each 30 steps."""
    assert _rates([0, 50, 100], final_learning_rate=0.2) == pytest.approx([1.0, 0.6, 0.2])
    assert _rates([0, 99], schedule="constant") == [1.0, 1.0]
    falling = {"decay_rate": 0.1, "decay_epochs": 3}
    assert _rates([0, 29, 30, 65], schedule="step", **falling) == pytest.approx([1.0, 1.0, 0.1, 0.01])
    assert _rates([0, 15, 30], schedule="exponential", **falling) == pytest.approx([1.0, 0.1**0.5, 0.1])


def test_golden_warm_up() -> None:
    """Four steps up in a straight line, then the whole cosine over the 96 that are left."""
    rates = _rates([0, 1, 3, 4, 52, 100], warmup_steps=4, final_learning_rate=0.0)
    assert rates == pytest.approx([0.25, 0.5, 1.0, 1.0, 0.5, 0.0], abs=1e-6)
    assert _rates([1, 4, 50], warmup_steps=4, schedule="constant") == pytest.approx([0.5, 1.0, 1.0])


def test_gradients_are_clipped_by_the_norm_of_all_together() -> None:
    """(3, 0) and rows adding up to (0, 4) have a norm of 5; one row is named twice."""
    rows = tf.IndexedSlices(tf.constant([[1.0], [3.0]]), tf.constant([1, 1]), tf.constant([2, 1]))
    dense, sparse = clip_gradients([tf.constant([3.0, 0.0]), rows], 2.5)
    np.testing.assert_allclose(dense, [1.5, 0.0])
    np.testing.assert_allclose(tf.convert_to_tensor(sparse), [[0.0], [2.0]])
    same, _ = clip_gradients([tf.constant([3.0, 0.0]), rows], 7.0)
    np.testing.assert_allclose(same, [3.0, 0.0])


def test_averages_are_in_place_for_a_while() -> None:
    """A step of 1 from 0 and one from -1: the average begins at the first value, then 0.5·(-1) + 0.5·(-2)."""
    variable = keras.Variable([0.0])
    sgd = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    sgd.build([variable])
    for _ in range(2):
        sgd.apply([tf.constant([1.0])], [variable])
    with averages_in_place([(sgd, [variable])]):
        np.testing.assert_allclose(variable.numpy(), [-1.5])
    np.testing.assert_allclose(variable.numpy(), [-2.0])
