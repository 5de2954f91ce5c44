from __future__ import annotations

import numpy as np
import pytest

from tfdvbpr.designing.audience import Audience
from tfdvbpr.designing.designer import Designer
from tfdvbpr.designing.interpolate import between, designed_end, interpolate
from tfdvbpr.errors import ConfigError

FIRST, LAST = np.array([2.0, 0.0], np.float32), np.array([0.0, 4.0], np.float32)


def test_the_way_of_gaussian_latents_is_on_the_sphere() -> None:
    """A quarter turn: half of it is 45°, and the length half way from 2 to 4."""
    way = between(FIRST, LAST, 3, latents="gaussian")
    np.testing.assert_allclose(way, [FIRST, [3 / np.sqrt(2)] * 2, LAST], atol=1e-6)


def test_the_way_of_bounded_latents_is_straight() -> None:
    first, last = FIRST / 4, LAST / 8
    np.testing.assert_allclose(between(first, last, 3, latents="bounded")[1], [0.25, 0.25])
    inside = between(FIRST, LAST, 3, latents="bounded", tanh_inside=True)
    np.testing.assert_allclose(np.tanh(inside[1]), [np.tanh(2.0) / 2, np.tanh(4.0) / 2], atol=1e-5)
    np.testing.assert_allclose(inside[[0, 2]], [FIRST, LAST], atol=1e-3)


@pytest.mark.parametrize("last", [FIRST, -FIRST, 0 * FIRST])
def test_no_direction_to_turn_in(last: np.ndarray) -> None:
    way = between(FIRST, last, 5, latents="gaussian")
    assert np.isfinite(way).all()
    np.testing.assert_allclose(way[[0, -1]], [FIRST, last], atol=1e-6)


def test_a_way_leads_from_one_design_to_the_other(designer: Designer) -> None:
    ends = [designed_end(designer, Audience.user(user), "shoe", seed=3) for user in ("u0", "u1")]
    way = interpolate(designer, *ends, num_frames=4)
    for user, frame, told in (("u0", 0, way.first_preferences), ("u1", 3, way.last_preferences)):
        best = designer.design([user], ["shoe"], seeds=[3])
        assert np.abs(way.images[frame].astype(int) - best.images[0, 0]).max() <= 1
        assert told[frame] == pytest.approx(best.preferences[0, 0], abs=0.05)
    with pytest.raises(ConfigError, match="at least 2"):
        interpolate(designer, *ends, num_frames=1)
    other = designed_end(designer, Audience.user("u0"), "shirt", seed=3)
    with pytest.raises(ConfigError, match="one category"):
        interpolate(designer, ends[0], other)
