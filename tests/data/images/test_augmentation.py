from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.images.augmentation import (
    AUGMENTATIONS,
    augment,
    check_augmentation,
    draw_random_numbers,
    num_random_numbers,
    shift,
)
from tfdvbpr.errors import ConfigError


def _images(count: int = 3, height: int = 16, width: int = 24) -> tf.Tensor:
    return tf.random.stateless_uniform((count, height, width, 3), (1, 2), -1.0, 1.0)


def _augmented(images: tf.Tensor, *names: str, seed: int = 3) -> np.ndarray:
    numbers = draw_random_numbers(np.random.default_rng(seed), len(images), names)
    result: np.ndarray = tf.function(lambda *inputs: augment(*inputs, names))(images, numbers).numpy()
    assert result.shape == images.shape
    return result


def test_about_half_is_flipped() -> None:
    images = _images(40).numpy()
    flipped = _augmented(tf.constant(images), "flip")
    same = (flipped == images).all(axis=(1, 2, 3))
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all()
    assert 8 < mirrored.sum() < 32


def test_every_shift_within_the_limit_repeats_the_border() -> None:
    images = _images(60, 8, 10).numpy()
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    numbers = draw_random_numbers(np.random.default_rng(3), 60, ["shift"])
    offsets = set()
    for number, image in enumerate(shift(images, numbers, max_shift=1).numpy()):
        found = [(y, x) for y in range(3) for x in range(3) if (padded[number, y : y + 8, x : x + 10] == image).all()]
        assert found
        offsets.update(found)
    assert len(offsets) == 9


def test_flip_and_shift_by_hand() -> None:
    """4 pixels at most: the smallest number shifts by -4, the middle one not at all; mirrored before it is shifted."""
    images = _images().numpy()
    numbers = np.array([[0.9, 0.0, 0.5], [0.1, 0.5, 0.0], [0.1, 0.5, 0.5]])
    moved = augment(tf.constant(images), numbers, ["flip", "shift"]).numpy()
    np.testing.assert_array_equal(moved[0], images[0][np.maximum(np.arange(16) - 4, 0)])
    np.testing.assert_array_equal(moved[1], images[1][:, ::-1][:, np.maximum(np.arange(24) - 4, 0)])
    np.testing.assert_array_equal(moved[2], images[2][:, ::-1])


def test_translation_by_hand() -> None:
    """An eighth of 16 and 24 is 2 and 3 pixels; the smallest number shifts by -2 and -3, the middle one not at all."""
    images = _images().numpy()
    numbers = tf.constant([[0.0, 0.0], [0.5, 0.5], [0.999, 0.5]])
    moved = augment(tf.constant(images), numbers, ["translation"]).numpy()
    rows, columns = np.maximum(np.arange(16) - 2, 0), np.maximum(np.arange(24) - 3, 0)
    np.testing.assert_array_equal(moved[0], images[0][rows][:, columns])
    np.testing.assert_array_equal(moved[1], images[1])
    np.testing.assert_array_equal(moved[2], images[2][np.minimum(np.arange(16) + 2, 15)])


def test_cutout_by_hand() -> None:
    """Around (8, 12) a hole of 8 by 12, its middle in the middle; around (0, 0) what of it is inside."""
    numbers = tf.constant([[0.5, 0.5], [0.0, 0.0], [0.5, 0.0]])
    cut = augment(tf.ones((3, 16, 24, 3)), numbers, ["cutout"]).numpy()
    assert (cut == 0).all(axis=3).sum(axis=(1, 2)).tolist() == [7 * 11, 4 * 6, 7 * 6]
    assert not cut[0, 8, 12].any()
    assert cut[0, 0, 0].all()


def test_colour_by_hand() -> None:
    """The middle numbers change nothing but the brightness of the first image."""
    images = _images()
    numbers = tf.constant([[0.75, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.5]])
    changed = augment(images, numbers, ["colour"]).numpy()
    np.testing.assert_allclose(changed[0], images[0] + 0.25, atol=1e-5)
    np.testing.assert_allclose(changed[1], np.repeat(images[1].numpy().mean(-1, keepdims=True), 3, -1), atol=1e-5)
    np.testing.assert_allclose(changed[2], images[2], atol=1e-5)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_gradients_come_back(name: str, dtype: tf.DType) -> None:
    images = _images()
    numbers = tf.random.stateless_uniform((3, num_random_numbers([name])), (3, 4), dtype=dtype)
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.reduce_sum(augment(images, numbers, [name]) ** 2)
    assert np.abs(tape.gradient(loss, images)).mean() > 0.1


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_seeded_and_not_the_identity(name: str) -> None:
    images = _images(8)
    first, again, other = (_augmented(images, name, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first != images.numpy()).any()


def test_each_takes_random_numbers_of_its_own_in_the_order_of_the_dict() -> None:
    names = ["cutout", "colour"]
    numbers = tf.random.stateless_uniform((3, num_random_numbers(names)), (5, 6))
    expected = augment(augment(_images(), numbers[:, :3], ["colour"]), numbers[:, 3:], ["cutout"])
    np.testing.assert_array_equal(augment(_images(), numbers, names), expected)


def test_none_changes_nothing() -> None:
    np.testing.assert_array_equal(_augmented(_images()), _images())


def test_usual_choices_leave_the_generator_in_the_same_state() -> None:
    states = []
    for names in ((), ("flip",), ("flip", "shift"), ("translation", "cutout")):
        generator = np.random.default_rng(1)
        assert draw_random_numbers(generator, 5, names).shape == (5, num_random_numbers(names))
        states.append(generator.random())
    assert len(set(states)) == 1


def test_unknown_name() -> None:
    with pytest.raises(ConfigError, match="`augmentation` must list any of flip, shift, colour, translation, cutout"):
        check_augmentation(["rotation"])
