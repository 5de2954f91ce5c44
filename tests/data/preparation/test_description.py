from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_data import checkerboard

import tfdvbpr
from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.interactions import Interactions, Split
from tfdvbpr.data.preparation.description import Description, draw_contact_sheet, draw_long_tail, gini
from tfdvbpr.errors import OutputExistsError

PICTURES = ("contact_sheet.png", "long_tail.png")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """The checkerboard: 8 users with 8 of 16 items each, two categories of 8."""
    return checkerboard(tmp_path_factory.mktemp("described"))


@pytest.fixture(scope="module")
def described(dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Description, Path]:
    output = tmp_path_factory.mktemp("description") / "out"
    return tfdvbpr.describe(dataset, output=output, cold_threshold=4), output


def _shades(path: Path) -> int:
    """Different colours of a picture."""
    with Image.open(path) as picture:
        return len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0))


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
    told, _ = described
    assert (told.num_users, told.num_items, told.num_actions, told.density) == (8, 16, 64, 0.5)
    assert told.parts == {"train": 48, "validation": 8, "test": 8, "withheld": 0}
    assert (told.num_tested_users, told.num_untrained_users) == (8, 0)
    spread = told.actions_per_user
    assert (spread.mean, spread.median, spread.most, spread.gini) == (8.0, 8.0, 8, 0.0)
    assert (told.actions_per_item.mean, told.actions_per_item.most) == (4.0, 4)
    assert (told.cold_item_share, told.cold_test_share) == (1.0, 1.0)
    assert [(row.category, row.num_items, row.num_actions, row.cold_share) for row in told.categories] == [
        ("shirt", 8, 32, 1.0),
        ("shoe", 8, 32, 1.0),
    ]
    assert (told.split, told.num_duplicate_items, told.first_actions) == ("source", 0, {})


def test_the_cold_threshold_counts_training_actions(dataset: PreparedDataset) -> None:
    assert tfdvbpr.describe(dataset, cold_threshold=3).cold_item_share == 0.0


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
    folder = shutil.copytree(dataset.path, tmp_path / "copy")
    actions.write(folder / "interactions.parquet")
    told = tfdvbpr.describe(PreparedDataset(folder, dataset.manifest.model_copy(update={"num_users": 2})))
    assert told.first_actions == {"train": "1969-12-31T00:00:00Z", "test": "1970-01-01T00:00:00Z"}
    assert told.last_actions == told.first_actions
    assert (told.num_tested_users, told.num_untrained_users, told.parts["withheld"]) == (1, 1, 1)
    assert (told.actions_per_item.mean, told.actions_per_item.median, told.actions_per_item.most) == (3 / 16, 0, 2)
    assert (told.actions_per_user.mean, told.actions_per_user.most) == (1.5, 2)


def test_the_files(described: tuple[Description, Path]) -> None:
    told, output = described
    assert sorted(path.name for path in output.iterdir()) == sorted([*PICTURES, "description.json"])
    assert json.loads((output / "description.json").read_text()) == json.loads(json.dumps(told.as_dict()))
    for name in PICTURES:
        assert _shades(output / name) > 20


def test_the_sheet_shows_the_pictures_themselves(dataset: PreparedDataset, described: tuple[Description, Path]) -> None:
    """All 8 items of each category fit in; a picture's middle is red or blue by its item's parity."""
    with Image.open(described[1] / "contact_sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    middles = pixels[8 + 18 + 48 :: 96 + 2 * 18 + 8, 8 + 48 :: 96 + 8]
    red = middles[:2, :8, 0] > middles[:2, :8, 2]
    rows = [np.flatnonzero(dataset.items.category_ids == category) for category in range(2)]
    np.testing.assert_array_equal(red, np.array(rows) % 2 == 0)


def test_the_sheet_is_seeded(dataset: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfdvbpr.data.preparation.description._COLUMNS", 3)
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        draw_contact_sheet(dataset, tmp_path / name, seed=seed)
    first, again, other = ((tmp_path / name).read_bytes() for name in ("first", "again", "other"))
    assert first == again != other


def test_smaller_categories_are_counted(
    dataset: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_contact_sheet(dataset, tmp_path / "all.png")
    monkeypatch.setattr("tfdvbpr.data.preparation.description.MAX_CATEGORIES", 1)
    draw_contact_sheet(dataset, tmp_path / "one.png")
    with Image.open(tmp_path / "all.png") as everything, Image.open(tmp_path / "one.png") as one:
        assert one.width == everything.width
        bottom = np.asarray(one.convert("L"))[-18:]
        assert one.height < everything.height
    assert bottom.min() < 200


@pytest.mark.parametrize("parts", [[0], [2]])
def test_a_long_tail_of_hardly_anything(tmp_path: Path, parts: list[int]) -> None:
    """One item with one training action, and none at all: logarithmic axes must bear it."""
    one = np.zeros(1, np.int32)
    draw_long_tail(Interactions(one, one, np.array(parts, np.uint8), 1, 1), tmp_path / "tail.png")
    assert _shades(tmp_path / "tail.png") > 5


def test_an_output_that_is_taken(dataset: PreparedDataset, described: tuple[Description, Path]) -> None:
    with pytest.raises(OutputExistsError, match="--if-exists overwrite"):
        tfdvbpr.describe(dataset.path, output=described[1])
    tfdvbpr.describe(dataset.path, output=described[1], if_exists="overwrite")
