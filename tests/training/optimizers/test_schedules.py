from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.optimizers.schedules import averages_in_place, make_adam


def test_golden_cosine() -> None:
    """Ten epochs of ten steps: half way between its ends in the middle; the fraction 1 is no decay."""
    config = recommender_config("dvbpr", epochs=10, final_learning_rate=0.2)
    schedule = make_adam(config, keras.optimizers.Adam, 1.0, steps_per_epoch=10)._learning_rate
    assert [float(schedule(step)) for step in (0, 50, 100)] == pytest.approx([1.0, 0.6, 0.2])
    config = recommender_config("dvbpr", epochs=10, final_learning_rate=1.0)
    schedule = make_adam(config, keras.optimizers.Adam, 0.3, steps_per_epoch=10)._learning_rate
    assert [float(schedule(step)) for step in (0, 37, 100)] == [np.float32(0.3)] * 3


def test_averages_are_in_place_within_the_block() -> None:
    """A step of 1 from 0 and one from -1: the average begins at the first value, then 0.5·(-1) + 0.5·(-2)."""
    variable = keras.Variable([0.0])
    sgd = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    sgd.build([variable])
    for _ in range(2):
        sgd.apply([tf.constant([1.0])], [variable])
    with averages_in_place([(sgd, [variable])]):
        np.testing.assert_allclose(variable.numpy(), [-1.5])
    np.testing.assert_allclose(variable.numpy(), [-2.0])
