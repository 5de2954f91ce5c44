from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfdvbpr.data.images import ghosts, silhouettes
from tfdvbpr.data.images.decoding import to_float
from tfdvbpr.designing.optimize.gradient_ascent import maximize
from tfdvbpr.designing.optimize.limits import PhotoLimits, border_medians, colourfulness, visibility
from tfdvbpr.designing.optimize.objective import DesignObjective
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.losses.adversarial import LeastSquares


def _images(count: int = 5) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, 6, 5, 3), np.uint8)


def test_measures_in_the_graph_are_those_of_arrays() -> None:
    images = _images()
    pixels = tf.cast(images, tf.float32)
    np.testing.assert_allclose(border_medians(pixels), silhouettes.border_medians(images), rtol=1e-6)
    np.testing.assert_allclose(colourfulness(pixels), ghosts.colourfulness(images), rtol=1e-5)
    np.testing.assert_allclose(visibility(pixels), ghosts.visibility(images), rtol=1e-5)


def test_images_are_within_the_limits_of_their_own_category() -> None:
    images = _images()
    glow, seen = ghosts.colourfulness(images), ghosts.visibility(images)
    limits = PhotoLimits(np.array([np.inf, np.median(glow)], np.float32), np.array([np.median(seen), 0.0], np.float32))
    pixels = to_float(tf.constant(images))
    faint, glowing = (limits.within(pixels, tf.fill([5], number)).numpy() for number in (0, 1))
    rest = np.arange(5) != np.argsort(seen)[2]
    np.testing.assert_array_equal(faint[rest], (seen > np.median(seen))[rest])
    rest = np.arange(5) != np.argsort(glow)[2]
    np.testing.assert_array_equal(glowing[rest], (glow < np.median(glow))[rest])


def test_limits_are_percentiles_of_the_photos() -> None:
    photos = _images(3)
    most, least = ghosts.photo_limits(photos)
    assert np.isclose(most, np.percentile(ghosts.colourfulness(photos), 99.5))
    assert np.isclose(least, np.percentile(ghosts.visibility(photos), 0.5))


class _Colours:
    """G, whose image has the colour z; D, which calls everything real; and Φ, which is the image's colour."""

    output_shape = (None, 8, 8, 3)
    image_size = (8, 8)

    def __call__(self, inputs: dict[str, Any], *, training: bool) -> Any:
        if "latents" in inputs:
            return tf.tile(inputs["latents"][:, None, None, :], [1, 8, 8, 1])
        return tf.ones_like(inputs["images"][:, 0, 0, 0])

    def embed_images(self, images: Any, *, training: bool) -> Any:
        return tf.reduce_mean(images, axis=(1, 2))


def _designed(most_colourful: float, starts: Any) -> Any:
    """Of category 1, for a user who prefers red."""
    network: Any = _Colours()
    limits = PhotoLimits(np.array([0.0, most_colourful], np.float32), np.zeros(2, np.float32))
    objective = DesignObjective(network, network, network, adversarial=LeastSquares(), limits=limits)
    users, categories = tf.constant([[1.0, 0.0, 0.0]]), tf.constant([1])
    options = DesignOptions(num_candidates=2, num_starts=2, num_steps=8)
    return maximize(objective, users, categories, starts, options=options, details=True)


def test_an_ascent_ends_before_the_image_glows() -> None:
    """Grey becomes red, 0.05 a step and channel; a start that is beyond the limit already is ascended as ever."""
    starts = tf.constant([[[0.3, 0.3, 0.3], [0.9, 0.1, 0.1]]])
    free, bounded = (_designed(most, starts) for most in (np.inf, 0.1))
    grey, red = ([list(found["starts"][0]).index(start) for found in (free, bounded)] for start in (0, 1))
    image = np.asarray(bounded["images"])[:, grey[1]]
    assert 0.05 < ghosts.colourfulness(image)[0] <= 0.1
    assert ghosts.colourfulness(np.asarray(free["images"])[:, grey[0]])[0] > 0.15
    path = np.asarray(bounded["history_preferences"])[0, grey[1]]
    assert (np.diff(path) >= -1e-6).all()
    assert path[-1] == path[-3] > path[0]
    np.testing.assert_allclose(free["preferences"][0, red[0]], bounded["preferences"][0, red[1]], rtol=1e-5)
