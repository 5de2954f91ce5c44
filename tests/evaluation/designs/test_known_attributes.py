"""Attributes that are read from images, and their shares along an ascent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from simulated_users import known_attributes

from tfdvbpr.data.dataset import Items, PreparedDataset
from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.preparation.prepare import PrepareOptions, prepare
from tfdvbpr.data.synthetic.source import SyntheticImporter, read_truth, write_synthetic
from tfdvbpr.designing.options import DesignOptions
from tfdvbpr.errors import ConfigError, RunError
from tfdvbpr.evaluation.designs.known_attributes import (
    AttributeEvaluationOptions,
    AttributeReader,
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


def test_rendered_garments_are_read(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "source", SyntheticImporter(num_items=240, num_users=4, image_size=32))
    options = PrepareOptions(image_size=(32, 32))
    dataset = prepare(read_folder(tmp_path / "source"), tmp_path / "data", options=options, source_format="synthetic")
    reader = AttributeReader.of(dataset, extractor="colour-and-edges")
    assert reader.accuracy["colour"] > 0.9
    assert reader.accuracy["pattern"] > 0.3  # four patterns
    assert reader.accuracy["cut"] > 0.5
    rows = np.arange(20)
    categories = [str(name) for name in np.array(dataset.items.table["category"])[rows]]
    read = reader.read(dataset.images.read(rows), categories)
    assert (read["cut"] == np.array(dataset.items.table["cut"])[rows]).mean() > 0.6  # among themselves
    assert read_truth(tmp_path / "source").height == 4


@pytest.fixture
def named_dataset(checkerboard_dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch) -> PreparedDataset:
    """The checkerboard, whose items have attributes."""
    dataset = PreparedDataset.open(checkerboard_dataset.path)
    number = np.arange(16)
    table = dataset.items.table.with_columns(
        colour=pl.Series(np.where(number % 2 == 0, "red", "blue")),
        pattern=pl.Series(np.where(number % 4 == 0, "striped", "plain")),
        cut=pl.Series(np.where(number // 2 % 2 == 0, "long", "low")),
    )
    monkeypatch.setattr(dataset, "items", Items(table, dataset.manifest.categories))
    return dataset


def test_along_an_ascent(tiny_run: Run, tiny_gan_run: GanRun, named_dataset: PreparedDataset, tmp_path: Path) -> None:
    options = AttributeEvaluationOptions(
        num_users=8,
        steps=(0, 2),
        realism_weights=(0.0, 1.0),
        design=DesignOptions(num_starts=2, learning_rate=0.2),
        extractor="colour-and-edges",
    )
    found = compare_with_known_attributes(
        tiny_run, tiny_gan_run, known_attributes(), dataset=named_dataset, options=options
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


def test_invalid_calls_are_refused(tiny_run: Run, tiny_gan_run: GanRun, named_dataset: PreparedDataset) -> None:
    unknown = known_attributes().with_columns(user_id=pl.lit("nobody"))
    with pytest.raises(RunError, match="knows 0 of 8"):
        compare_with_known_attributes(tiny_run, tiny_gan_run, unknown, dataset=named_dataset)
    with pytest.raises(ConfigError, match="`steps` must be different numbers"):
        AttributeEvaluationOptions(steps=(5, 2))
    with pytest.raises(ConfigError, match="finite"):
        AttributeEvaluationOptions(realism_weights=(float("inf"),))
