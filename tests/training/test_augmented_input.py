from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.errors import ConfigError
from tfdvbpr.training.gan.augmentation import AUGMENTATIONS, augmented, check_augmentation, num_draws


def _pictures() -> tf.Tensor:
    return tf.random.stateless_uniform((3, 16, 24, 3), (1, 2), -1.0, 1.0)


def test_translation_by_hand() -> None:
    """An eighth of 16 and 24 is 2 and 3 pixels; the smallest draw shifts by -2 and -3, the middle one not at all."""
    images = _pictures().numpy()
    draws = tf.constant([[0.0, 0.0], [0.5, 0.5], [0.999, 0.5]])
    moved = augmented(tf.constant(images), draws, ["translation"]).numpy()
    rows, columns = np.maximum(np.arange(16) - 2, 0), np.maximum(np.arange(24) - 3, 0)
    np.testing.assert_array_equal(moved[0], images[0][rows][:, columns])
    np.testing.assert_array_equal(moved[1], images[1])
    np.testing.assert_array_equal(moved[2], images[2][np.minimum(np.arange(16) + 2, 15)])


def test_cutout_by_hand() -> None:
    """Around (8, 12) a hole of 8 by 12, its middle in the middle; around (0, 0) what of it is inside."""
    draws = tf.constant([[0.5, 0.5], [0.0, 0.0], [0.5, 0.0]])
    cut = augmented(tf.ones((3, 16, 24, 3)), draws, ["cutout"]).numpy()
    assert (cut == 0).all(axis=3).sum(axis=(1, 2)).tolist() == [7 * 11, 4 * 6, 7 * 6]
    assert not cut[0, 8, 12].any()
    assert cut[0, 0, 0].all()


def test_colour_by_hand() -> None:
    """The middle draws change nothing but the brightness of the first picture."""
    images = _pictures()
    draws = tf.constant([[0.75, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.5]])
    changed = augmented(images, draws, ["colour"]).numpy()
    np.testing.assert_allclose(changed[0], images[0] + 0.25, atol=1e-5)
    np.testing.assert_allclose(changed[1], np.repeat(images[1].numpy().mean(-1, keepdims=True), 3, -1), atol=1e-5)
    np.testing.assert_allclose(changed[2], images[2], atol=1e-5)


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_gradients_come_back(kind: str) -> None:
    images = _pictures()
    draws = tf.random.stateless_uniform((3, num_draws([kind])), (3, 4))
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.reduce_sum(augmented(images, draws, [kind]) ** 2)
    assert np.abs(tape.gradient(loss, images)).mean() > 0.1


def test_all_of_them_take_draws_of_their_own() -> None:
    kinds = ["cutout", "colour"]
    draws = tf.random.stateless_uniform((3, num_draws(kinds)), (5, 6))
    expected = augmented(augmented(_pictures(), draws[:, :3], ["colour"]), draws[:, 3:], ["cutout"])
    np.testing.assert_array_equal(augmented(_pictures(), draws, kinds), expected)
    with pytest.raises(ConfigError, match="`augmentation` must list any of colour, translation, cutout"):
        check_augmentation(["rotation"])
