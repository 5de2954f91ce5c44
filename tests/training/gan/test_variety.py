"""How much generated images differ, by hand."""

from __future__ import annotations

import numpy as np

from tfdvbpr.training.gan.variety import Variety, pair_differences

GREYS = np.broadcast_to(np.array([-1, 0, 1, 0.5], np.float32)[:, None, None, None], (4, 8, 8, 3))


def test_differences_of_photos_by_hand() -> None:
    """Category 0 has grey photos at -1, 0 and 1, in a ring 1, 1 and 2 apart; category 1 has one photo, 2 none."""
    found = Variety(GREYS, np.array([0, 0, 0, 1], np.int32), 3).photo_differences
    np.testing.assert_allclose(found, 4 / 3, rtol=1e-6)
    np.testing.assert_allclose(pair_differences(GREYS), [1.0, 0.5])
    same = Variety(np.zeros((2, 8, 8, 3), np.float32), np.zeros(2, np.int32), 1).photo_differences
    np.testing.assert_array_equal(same, np.float32(0.01))


def test_variety_is_relative_to_photos_and_at_most_one() -> None:
    variety, category_ids = Variety(GREYS, np.array([0, 0, 0, 1], np.int32), 3), np.array([0, 0, 1, 1], np.int32)
    np.testing.assert_allclose(variety(GREYS * 4.0, category_ids), [1.0, 1.0])
    np.testing.assert_allclose(variety(GREYS * 0.5, category_ids), [0.5 / (4 / 3), 0.25 / (4 / 3)], rtol=1e-6)
