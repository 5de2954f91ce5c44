from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tiny_data import checkerboard

import tfdvbpr
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.images.grids import image_grid
from tfdvbpr.data.images.photos import LEAST_HEIGHT, sharp_photos
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.data.preparation import description
from tfdvbpr.data.preparation.description import Description, gini, write_long_tail, write_sample_grid
from tfdvbpr.errors import OutputExistsError

FILES = ("sample_grid.png", "long_tail.png")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """The checkerboard: 8 users with 8 of 16 items each, two categories of 8."""
    return checkerboard(tmp_path_factory.mktemp("described"))


@pytest.fixture(scope="module")
def described(dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Description, Path]:
    output = tmp_path_factory.mktemp("description") / "out"
    return tfdvbpr.describe(dataset, output=output), output


def _shades(path: Path) -> int:
    """Different colours of an image."""
    with Image.open(path) as image:
        return len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([5, 5, 5], 0.0), ([0, 0, 0, 4], 0.75), ([1, 3], 0.25), ([3, 1], 0.25), ([7], 0.0), ([1, 2, 3, 4], 0.25)],
)
def test_gini_by_hand(counts: list[int], expected: float) -> None:
    assert gini(np.array(counts)) == pytest.approx(expected)


def test_gini_is_the_mean_difference_over_twice_the_mean() -> None:
    counts = np.random.default_rng(0).geometric(0.05, 200)
    assert gini(counts) == pytest.approx(np.abs(counts[:, None] - counts).mean() / (2 * counts.mean()))


def test_figures_by_hand(described: tuple[Description, Path]) -> None:
    """Each item has 4 users of its parity; of each user's 8 actions the two on the diagonals are held out."""
    found, _ = described
    assert (found.num_users, found.num_items, found.num_actions, found.density) == (8, 16, 64, 0.5)
    assert found.parts == {"train": 48, "validation": 8, "test": 8, "withheld": 0}
    assert (found.num_tested_users, found.num_untrained_users) == (8, 0)
    spread = found.actions_per_user
    assert (spread.mean, spread.median, spread.most, spread.gini) == (8.0, 8.0, 8, 0.0)
    assert (found.actions_per_item.mean, found.actions_per_item.most) == (4.0, 4)
    assert (found.cold_item_share, found.cold_test_share) == (1.0, 1.0)
    assert [(row.category, row.num_items, row.num_actions, row.cold_share) for row in found.categories] == [
        ("shirt", 8, 32, 1.0),
        ("shoe", 8, 32, 1.0),
    ]
    assert (found.split, found.num_duplicate_items, found.first_actions) == ("source", 0, {})


def _with(actions: Interactions, dataset: PreparedDataset, folder: Path) -> PreparedDataset:
    """A copy of the dataset with other actions."""
    actions.write(shutil.copytree(dataset.path, folder) / "interactions.parquet")
    pl.read_parquet(folder / "users.parquet").head(actions.num_users).write_parquet(folder / "users.parquet")
    counts = {"num_users": actions.num_users, "num_interactions": len(actions)}
    return PreparedDataset(folder, dataset.manifest.model_copy(update=counts))


def test_an_item_with_fewer_than_5_training_actions_is_cold(dataset: PreparedDataset, tmp_path: Path) -> None:
    """Items 0 and 1 have 5 actions each, of which one of item 1 is a test action; the other 14 have none."""
    users, items = np.tile(np.arange(5, dtype=np.int32), 2), np.repeat(np.arange(2, dtype=np.int32), 5)
    splits = np.array([Split.TRAIN] * 9 + [Split.TEST], np.uint8)
    found = tfdvbpr.describe(_with(Interactions(users, items, splits, 5, 16), dataset, tmp_path / "copy"))
    assert (found.cold_threshold, found.cold_item_share, found.cold_test_share) == (5, 15 / 16, 1.0)


def test_times_withheld_and_untrained_users(dataset: PreparedDataset, tmp_path: Path) -> None:
    """Items 0 and 1 have 2 and 1 of 3 actions, the other 14 none."""
    actions = Interactions(
        np.array([0, 0, 1], np.int32),
        np.array([0, 1, 0], np.int32),
        np.array([Split.TRAIN, Split.TEST, Split.WITHHELD], np.uint8),
        2,
        16,
        np.array([-86400.0, 0.5, np.nan]),
    )
    found = tfdvbpr.describe(_with(actions, dataset, tmp_path / "copy"))
    assert found.first_actions == {"train": "1969-12-31T00:00:00Z", "test": "1970-01-01T00:00:00Z"}
    assert found.last_actions == found.first_actions
    assert (found.num_tested_users, found.num_untrained_users, found.parts["withheld"]) == (1, 1, 1)
    assert (found.actions_per_item.mean, found.actions_per_item.median, found.actions_per_item.most) == (3 / 16, 0, 2)
    assert (found.actions_per_user.mean, found.actions_per_user.most) == (1.5, 2)


def test_the_files(described: tuple[Description, Path]) -> None:
    found, output = described
    assert sorted(path.name for path in output.iterdir()) == sorted([*FILES, "description.json"])
    assert json.loads((output / "description.json").read_text()) == json.loads(json.dumps(asdict(found)))
    for name in FILES:
        assert _shades(output / name) > 20


@pytest.fixture
def grids(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The contents of the sample grids that are written."""
    written: list[dict[str, Any]] = []

    def recorded(rows: Any, **texts: Any) -> Image.Image:
        written.append({"rows": rows, **texts})
        return image_grid(rows, **texts)

    monkeypatch.setattr(description, "image_grid", recorded)
    return written


def test_the_grid_shows_the_images_themselves(
    dataset: PreparedDataset, grids: list[dict[str, Any]], tmp_path: Path
) -> None:
    """All 8 items of each category fit in."""
    write_sample_grid(dataset, tmp_path / "grid.png")
    assert grids[0]["row_titles"] == ["shirt (8)", "shoe (8)"]
    for category in range(2):
        items = np.flatnonzero(dataset.items.category_ids == category)
        shown = sharp_photos(dataset, items, height=LEAST_HEIGHT)
        np.testing.assert_array_equal(grids[0]["rows"][category], shown)
        assert grids[0]["captions"][category] == [dataset.items.item_ids[item] for item in items]


def test_the_grid_is_the_same_again_and_counts_smaller_categories(
    dataset: PreparedDataset, grids: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(description, "_COLUMNS", 3)
    monkeypatch.setattr(description, "MAX_CATEGORIES", 1)
    for name in ("first", "again"):
        write_sample_grid(dataset, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "again").read_bytes()
    assert len(grids[0]["captions"]) == 1
    assert len(grids[0]["captions"][0]) == 3
    assert "without 1 smaller" in grids[0]["title"]


@pytest.mark.parametrize("parts", [[0], [2]])
def test_a_long_tail_of_hardly_anything(tmp_path: Path, parts: list[int]) -> None:
    """One item with one training action, and none at all: logarithmic axes must bear it."""
    one = np.zeros(1, np.int32)
    write_long_tail(Interactions(one, one, np.array(parts, np.uint8), 1, 1), tmp_path / "tail.png")
    assert _shades(tmp_path / "tail.png") > 5


def test_an_output_that_is_taken(dataset: PreparedDataset, described: tuple[Description, Path]) -> None:
    with pytest.raises(OutputExistsError, match="--if-exists overwrite"):
        tfdvbpr.describe(dataset.path, output=described[1])
    tfdvbpr.describe(dataset.path, output=described[1], if_exists="overwrite")
