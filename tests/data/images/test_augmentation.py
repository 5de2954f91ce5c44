from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.images.augmentation import NUM_CHANGES, Augmentation, augmented
from tfdvbpr.data.images.decoding import to_float


def _images(count: int = 40) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 10, 3), dtype=np.uint8)
    images: np.ndarray = to_float(pixels).numpy()
    return images


def _changed(images: np.ndarray, how: Augmentation, seed: int = 3) -> np.ndarray:
    changes = how.draw(np.random.default_rng(seed), len(images))
    assert changes.shape == (len(images), NUM_CHANGES)
    changed: np.ndarray = tf.function(lambda pixels, drawn: augmented(pixels, drawn, how))(images, changes).numpy()
    assert changed.shape == images.shape
    return changed


def test_about_half_is_mirrored() -> None:
    images = _images()
    changed = _changed(images, Augmentation(flip=True))
    same = (changed == images).all(axis=(1, 2, 3))
    mirrored = (changed == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all()
    assert 8 < mirrored.sum() < 32


def test_every_shift_within_the_limit_repeats_the_border() -> None:
    images = _images()
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    offsets = set()
    for number, image in enumerate(_changed(images, Augmentation(max_shift=1))):
        found = [(y, x) for y in range(3) for x in range(3) if (padded[number, y : y + 8, x : x + 10] == image).all()]
        assert found
        offsets.update(found)
    assert len(offsets) == 9


def test_a_crop_is_a_part_enlarged() -> None:
    """Of a ramp: still a ramp, between bounds that lie inside the old ones and span at least what must stay."""
    ramp = np.broadcast_to(np.linspace(-1, 1, 10, dtype=np.float32)[None, None, :, None], (30, 8, 10, 3))
    changed = _changed(np.ascontiguousarray(ramp), Augmentation(max_crop=0.5))
    spans = changed[:, 0, -1, 0] - changed[:, 0, 0, 0]
    assert (spans > 1.0 - 1e-5).all()
    assert (spans < 2.0 + 1e-5).all()
    assert spans.std() > 0.1
    np.testing.assert_allclose(np.diff(changed[:, 0, :, 0], axis=1), spans[:, None] / 9 * np.ones(9), atol=1e-5)
    assert changed.min() >= -1 - 1e-6
    assert changed.max() <= 1 + 1e-6


def test_colours_change_as_drawn() -> None:
    """Brightness alone halves the light, contrast 0 leaves one tone, saturation 0 leaves grey."""
    images = 0.5 * _images(3)
    changes = np.ones((3, NUM_CHANGES), np.float32)
    changes[[0, 1, 2], [6, 7, 8]] = 0.5, 0.0, 0.0
    changed = augmented(tf.constant(images), tf.constant(changes), Augmentation(colour_jitter=0.9)).numpy()
    np.testing.assert_allclose(changed[0] + 1, 0.5 * (images[0] + 1), atol=1e-6)
    grey = images @ np.array([0.299, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(changed[1], np.full_like(changed[1], grey[1].mean()), atol=1e-5)
    np.testing.assert_allclose(changed[2], grey[2][..., None] * np.ones(3), atol=1e-6)


def test_one_option_does_not_change_what_another_draws() -> None:
    draw = [
        Augmentation(True, 3, crop, jitter).draw(np.random.default_rng(1), 5) for crop, jitter in ((0, 0), (0.3, 0.2))
    ]
    np.testing.assert_array_equal(draw[0][:, :3], draw[1][:, :3])
    assert (draw[0][:, 3] == 1).all()
    assert (draw[0][:, 6:] == 1).all()
    assert (np.abs(draw[1][:, 6:] - 1) <= 0.2 + 1e-6).all()


@pytest.mark.parametrize("how", [Augmentation(), Augmentation(True, 2, 0.2, 0.3)])
def test_whether_anything_is_changed(how: Augmentation) -> None:
    assert how.any == (_changed(_images(), how) != _images()).any()
