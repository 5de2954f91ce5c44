from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.demo.checks import PreferenceCheck, ServingCheck, check_preferences, favourite_category
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.evaluation.designs.attribute_reader import AttributeReader
from tfdvbpr.run import GanRun, Run


def test_mcnemar_by_hand() -> None:
    """6 pairs differ, 5 in favour: P(X >= 5) of 6 fair coins is (6 + 1) / 64; Holm doubles the smaller of two."""
    designs = np.array([1, 1, 1, 1, 1, 0, 1, 0], bool)
    random = np.array([0, 0, 0, 0, 0, 1, 1, 0], bool)
    check = PreferenceCheck.of(
        {"colour": designs, "cut": random},
        {"colour": random, "cut": random},
        {"colour": ~random, "cut": designs},
        reader_accuracy={"colour": 0.9, "cut": 0.8},
        mean_gain=0.5,
    )
    assert check.num_users == 8
    colour, cut = check.tests["colour"], check.tests["cut"]
    assert (colour.designs, colour.random, colour.items) == (6, 2, 6)
    assert (colour.only_designs, colour.only_random) == (5, 1)
    assert colour.p_value == pytest.approx(2 * 7 / 64)
    assert colour.reader_accuracy == 0.9
    assert (cut.only_designs, cut.only_random, cut.p_value) == (0, 0, 1.0)


def _truth(colours: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": ["u1", "u2", "nobody"],
            "favourite_colours": [colours] * 3,
            "pattern:striped": [1.0] * 3,
            "pattern:plain": [0.0] * 3,
            **{f"cut:shirt:{name}": [weight] * 3 for name, weight in (("long", 1.0), ("short", 0.0))},
            **{f"cut:shoe:{name}": [weight] * 3 for name, weight in (("low", 0.0), ("high", 1.0))},
        }
    )


def test_preferences_of_designs(tiny_run: Run, tiny_gan_run: GanRun, attributed_checkerboard: PreparedDataset) -> None:
    """Every colour is a favourite, so every image with one shows one; no shoe is high and every shirt is long."""
    colours = ["red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "black", ""]
    reader = AttributeReader.of(attributed_checkerboard)
    options = DesignOptions(num_starts=2, num_steps=5)
    check = check_preferences(tiny_run, tiny_gan_run, _truth(colours), reader, num_users=5, options=options, seed=0)
    assert check.num_users == 2
    assert list(check.tests) == ["colour", "pattern", "cut"]
    colour = check.tests["colour"]
    assert colour.designs == colour.random == colour.items == 2
    assert colour.p_value == 1.0
    rows = tiny_run.user_indices(["u1", "u2"])
    categories = [favourite_category(tiny_run, int(row), ("shirt", "shoe")) for row in rows]
    cut = check.tests["cut"]
    assert cut.designs == cut.random == cut.items == categories.count("shirt")
    assert check.mean_gain > 0


def test_favourite_category(tiny_run: Run) -> None:
    for row in range(8):
        names = [tiny_run.items.table["category"][int(item)] for item in tiny_run.seen_items(row)]
        found = favourite_category(tiny_run, row, ("shirt", "shoe"))
        assert found in names
        assert favourite_category(tiny_run, row, ("sock",)) is None


def test_wrong_served_answers_are_seen() -> None:
    good = ServingCheck(num_users=5, same_items=True, score=1e-6, preference=1e-6, pixels=1, pixels_of_designs=90)
    assert good.equal
    for change in ({"same_items": False}, {"score": 1e-4}, {"preference": 1e-4}, {"pixels": 2}):
        assert not dataclasses.replace(good, **change).equal  # type: ignore[arg-type]
