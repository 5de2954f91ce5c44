from __future__ import annotations

import numpy as np
import pytest

from tfdvbpr.demo.taste_check import compare


def test_mcnemar_by_hand() -> None:
    """6 pairs differ, 5 in favour: P(X >= 5) of 6 fair coins is (6 + 1) / 64."""
    designed = np.array([1, 1, 1, 1, 1, 0, 1, 0], bool)
    random = np.array([0, 0, 0, 0, 0, 1, 1, 0], bool)
    check = compare(designed, random, mean_gain=0.5)
    assert (check.num_users, check.designs, check.random) == (8, 6, 2)
    assert (check.only_design, check.only_random) == (5, 1)
    assert check.p_value == pytest.approx(7 / 64)


def test_nothing_differs() -> None:
    same = np.array([True, False])
    assert compare(same, same, mean_gain=0.0).p_value == 1.0
