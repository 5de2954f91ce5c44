"""Attributes that are read from images, and their shares along an ascent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from simulated_users import known_attributes

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.evaluation.designs.known_attributes import (
    AttributeEvaluationOptions,
    compare_with_known_attributes,
    liked_attributes,
    mcnemar,
    write_attribute_report,
)
from tfdvbpr.run import GanRun, Run


def test_liked_attributes() -> None:
    users = known_attributes()[[0, 1, 1]]
    read = {
        "colour": np.array(["red", "red", "blue"]),
        "pattern": np.array(["plain", "plain", "striped"]),
        "cut": np.array(["long", "high", "low"]),
    }
    found = liked_attributes(read, users, ["shirt", "shoe", "shoe"])
    assert found["colour"].tolist() == [True, False, True]
    assert found["pattern"].tolist() == [False, True, False]
    assert found["cut"].tolist() == [True, False, True]


def test_mcnemar_by_hand() -> None:
    """6 pairs differ, 5 in favour: P(X >= 5) of 6 fair coins is (6 + 1) / 64."""
    designs = np.array([1, 1, 1, 1, 1, 0, 1, 0], bool)
    random = np.array([0, 0, 0, 0, 0, 1, 1, 0], bool)
    found = mcnemar(designs, random)
    assert (found["designs"], found["random"], found["only_designs"]) == (0.75, 0.25, 5)
    assert found["p_value"] == pytest.approx(7 / 64)
    assert mcnemar(random, random)["p_value"] == 1.0


def test_along_an_ascent(
    tiny_run: Run, tiny_gan_run: GanRun, attributed_checkerboard: PreparedDataset, tmp_path: Path
) -> None:
    options = AttributeEvaluationOptions(
        num_users=8,
        steps=(0, 2),
        realism_weights=(0.0, 1.0),
        design=DesignOptions(num_candidates=2, num_starts=2, learning_rate=0.2),
    )
    found = compare_with_known_attributes(
        tiny_run, tiny_gan_run, known_attributes(), dataset=attributed_checkerboard, options=options
    )
    assert found.table.height == 2 * 2 * 2
    starts = found.table.filter((pl.col("step") == 0) & (pl.col("part") == "test"))
    assert starts["cut"].to_list() == [1.0, 1.0]  # every shirt is long, every shoe low, and all users like both
    chosen = found.table.filter(pl.col("part") == "validation").sort("liked", descending=True)
    assert found.best["liked"] == chosen["liked"][0]
    at = found.table.filter(
        (pl.col("part") == "test")
        & (pl.col("realism_weight") == found.best["realism_weight"])
        & (pl.col("step") == found.best["step"])
    )
    for name, test in found.test.items():
        assert test["designs"] == pytest.approx(at[name][0])
        assert test["p_value"] <= test["p_holm"] <= 1.0
    assert found.retrieved["cut"] == 1.0
    assert list(found.test) == ["colour", "pattern", "cut"]
    assert found.liked == pytest.approx(at["liked"][0])
    write_attribute_report(found, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"attributes.{ending}" for ending in ("csv", "json", "md", "png")
    ]
    assert "| η | 0 steps | 2 steps |" in (tmp_path / "attributes.md").read_text(encoding="utf-8")


def test_invalid_calls_are_refused(
    tiny_run: Run, tiny_gan_run: GanRun, attributed_checkerboard: PreparedDataset
) -> None:
    unknown = known_attributes().with_columns(user_id=pl.lit("nobody"))
    with pytest.raises(RunError, match="knows 0 of 8"):
        compare_with_known_attributes(tiny_run, tiny_gan_run, unknown, dataset=attributed_checkerboard)
    with pytest.raises(ConfigError, match="`steps` must be different numbers"):
        AttributeEvaluationOptions(steps=(5, 2))
    with pytest.raises(ConfigError, match="finite"):
        AttributeEvaluationOptions(realism_weights=(float("inf"),))
