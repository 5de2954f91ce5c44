from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from tfdvbpr.demo.checks import ColourCheck, ServingCheck, check_colours
from tfdvbpr.run import GanRun, Run


def test_mcnemar_by_hand() -> None:
    """6 pairs differ, 5 in favour: P(X >= 5) of 6 fair coins is (6 + 1) / 64."""
    designs = np.array([1, 1, 1, 1, 1, 0, 1, 0], bool)
    random = np.array([0, 0, 0, 0, 0, 1, 1, 0], bool)
    check = ColourCheck.of(designs, random, mean_gain=0.5)
    assert (check.num_users, check.designs, check.random) == (8, 6, 2)
    assert (check.only_designs, check.only_random) == (5, 1)
    assert check.p_value == pytest.approx(7 / 64)


def test_equal_pairs() -> None:
    same = np.array([True, False])
    assert ColourCheck.of(same, same, mean_gain=0.0).p_value == 1.0


def test_colours_of_designs(tiny_run: Run, tiny_gan_run: GanRun) -> None:
    """Every colour is a favourite, so every image shows one."""
    colours = ["black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"]
    truth = pl.DataFrame({"user_id": ["u1", "u2", "nobody"], "favourite_colours": [colours] * 3})
    check = check_colours(tiny_run, tiny_gan_run, truth, num_users=5, seed=0)
    assert check.num_users == 2
    assert check.only_designs == check.only_random == 0
    assert check.mean_gain > 0


def test_wrong_served_answers_are_seen() -> None:
    good = ServingCheck(num_users=5, same_items=True, score=1e-6, preference=1e-6, pixels=1)
    assert good.equal
    for change in ({"same_items": False}, {"score": 1e-4}, {"preference": 1e-4}, {"pixels": 2}):
        assert not dataclasses.replace(good, **change).equal  # type: ignore[arg-type]
