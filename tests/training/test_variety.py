"""How much drawings differ, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tfdvbpr.training.gan.variety import COLOURS, SHAPE, Variety, pair_differences

GREYS = np.broadcast_to(np.array([-1, 0, 1, 0.5], np.float32)[:, None, None, None], (4, 8, 8, 3))


def halves(*, left: float, right: float) -> np.typing.NDArray[np.float32]:
    """A picture of 8×8 pixels."""
    picture = np.full((8, 8, 3), left, np.float32)
    picture[:, 4:] = right
    return picture


def test_colours_of_photos_by_hand() -> None:
    """Category 0 has grey photos at -1, 0 and 1, in a ring 1, 1 and 2 apart; category 1 has one photo, 2 none."""
    found = Variety(GREYS, np.array([0, 0, 0, 1], np.int32), 3).photos
    np.testing.assert_allclose(found[:, COLOURS], 4 / 3, rtol=1e-6)
    np.testing.assert_allclose(pair_differences(GREYS)[:, COLOURS], [1.0, 0.5])
    same = Variety(np.zeros((2, 8, 8, 3), np.float32), np.zeros(2, np.int32), 1).photos
    np.testing.assert_array_equal(same, np.float32(0.01))


def test_shape_is_where_it_is_dark_whatever_the_colour() -> None:
    pictures = np.stack(
        [
            *(halves(left=-1.0, right=1.0), halves(left=0.0, right=1.0)),  # the same left half, paler
            *(halves(left=-1.0, right=1.0), halves(left=1.0, right=-1.0)),  # the other half
            *(halves(left=-1.0, right=1.0), halves(left=-1.0, right=-1.0)),  # all of it: the cosine is 1/√2
        ]
    )
    found = pair_differences(pictures)[:, SHAPE]
    np.testing.assert_allclose(found, [0.0, 1.0, 1 - 0.5**0.5], atol=5e-3)
    tinted = halves(left=-1.0, right=1.0)
    tinted[:, :4, 0] = 0.5
    found = pair_differences(np.stack([halves(left=-1.0, right=1.0), tinted])).numpy()
    assert found[0, SHAPE] == pytest.approx(0.0, abs=5e-3)


def test_two_white_pictures_do_not_differ() -> None:
    found = pair_differences(np.ones((2, 8, 8, 3), np.float32))
    np.testing.assert_allclose(found, [[0.0, 0.0]], atol=1e-6)


def test_shares_are_of_photos_and_at_most_one() -> None:
    variety = Variety(GREYS, np.array([0, 0, 0, 1], np.int32), 3)
    shares = variety.shares(GREYS * 4.0, np.array([0, 0, 1, 1], np.int32)).numpy()
    np.testing.assert_allclose(shares[:, COLOURS], [1.0, 1.0])
    near = variety.shares(GREYS * 0.5, np.array([0, 0, 1, 1], np.int32)).numpy()
    np.testing.assert_allclose(near[:, COLOURS], [0.5 / (4 / 3), 0.25 / (4 / 3)], rtol=1e-6)
