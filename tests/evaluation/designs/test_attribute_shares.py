"""Shares of attributes among generated images beside the real items'."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import ConfigError
from tfdvbpr.evaluation.designs.attribute_reader import ATTRIBUTES, AttributeReader
from tfdvbpr.evaluation.designs.attribute_shares import attribute_shares, markdown, sampling_floor, total_variation
from tfdvbpr.run import GanRun


def test_total_variation_by_hand() -> None:
    assert total_variation(np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])) == pytest.approx(0.3)
    assert total_variation(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1.0
    assert total_variation(np.array([0.4, 0.6]), np.array([0.4, 0.6])) == 0.0


def test_sampling_floor() -> None:
    """One draw of two equally likely values is always ½ away; two draws are ½ away half of the time."""
    generator = np.random.default_rng(0)
    assert sampling_floor(np.array([0.5, 0.5]), 1, generator) == 0.5
    assert sampling_floor(np.array([0.5, 0.5]), 2, generator) == pytest.approx(0.25, abs=0.06)
    assert sampling_floor(np.array([1.0, 0.0]), 3, generator) == 0.0
    assert sampling_floor(np.full(10, 0.1), 1000, generator) == pytest.approx(0.038, abs=0.005)


def test_shares_of_a_generator(tiny_gan_run: GanRun, attributed_checkerboard: PreparedDataset) -> None:
    reader = AttributeReader.of(attributed_checkerboard)
    found = attribute_shares(tiny_gan_run, dataset=attributed_checkerboard, reader=reader, num_samples=40)
    sums = found.table.group_by("category", "attribute").agg(pl.col("real").sum(), pl.col("generated").sum())
    assert sums.height == 2 * len(ATTRIBUTES)
    np.testing.assert_allclose(sums.select("real", "generated").to_numpy(), 1.0)
    by_hand = found.table.group_by("category", "attribute").agg(
        (pl.col("real") - pl.col("generated")).abs().sum() / 2,
        pl.col("generated").filter(pl.col("value") == "").sum().alias("unread"),
    )
    both = found.distances.join(by_hand, on=["category", "attribute"])
    np.testing.assert_allclose(both["total_variation"], both["real"])
    np.testing.assert_allclose(both["unread"], both["unread_right"])
    cuts = found.distances.filter(pl.col("attribute") == "cut")
    np.testing.assert_allclose(cuts["total_variation"], cuts["unread"])  # every shirt is long, every shoe low
    assert found.means["colour"] == pytest.approx(
        found.distances.filter(pl.col("attribute") == "colour")["total_variation"].to_numpy().mean()
    )
    again = attribute_shares(tiny_gan_run, dataset=attributed_checkerboard, reader=reader, num_samples=40)
    assert again.table.equals(found.table)
    text = markdown(found)
    assert text.startswith("| total variation, 40 images each | colour | pattern | cut |")
    for line in (
        "| shirt |",
        "| shoe |",
        "| mean |",
        "| mean floor of sampling |",
        "| reader's accuracy, held-out |",
    ):
        assert line in text


def test_invalid_calls_are_refused(tiny_gan_run: GanRun) -> None:
    with pytest.raises(ConfigError, match="`num_samples` must be at least 1"):
        attribute_shares(tiny_gan_run, num_samples=0)
