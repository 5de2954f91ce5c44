"""Times, splits, filters and duplicates, from a source folder to the prepared one."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tiny_data import BLUE, RED, encoded, noisy_picture, write_source

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers import IMPORTERS
from tfdvbpr.data.interactions import Split
from tfdvbpr.data.preparation.prepare import PrepareOptions, prepare
from tfdvbpr.errors import ConfigError, SourceError

Rows = Sequence[tuple[str, ...]]
IMAGES = [encoded(noisy_picture((RED, BLUE)[number % 2], (20, 20), number)) for number in range(8)]


def _source(folder: Path, header: str, rows: Rows, *, images: Sequence[bytes] = IMAGES) -> Path:
    """Items i0.. with the given images, and interactions of any columns."""
    write_source(folder, [(f"i{number}", "ab"[number % 2], data) for number, data in enumerate(images)], [])
    lines = [header, *(",".join(row) for row in rows)]
    (folder / "interactions.csv").write_text("\n".join(lines) + "\n")
    return folder


def _prepare(source: Path, output: Path, **options: object) -> PreparedDataset:
    chosen = PrepareOptions(**{"image_size": (16, 16), "max_loss": 1.0, **options})
    return prepare(IMPORTERS["folder"]().read(source), output, options=chosen, source_format="folder")


def _parts(dataset: PreparedDataset) -> dict[tuple[str, str], str]:
    """(user id, item id) to the part of the split."""
    actions, items = dataset.interactions, dataset.items.item_ids
    rows = zip(actions.user_ids, actions.item_ids, actions.splits, strict=True)
    return {(dataset.user_ids[user], items[item]): Split(part).name.lower() for user, item, part in rows}


def _listed(dataset: PreparedDataset, name: str = "quarantine.csv") -> list[dict[str, str]]:
    with (dataset.path / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


TIMED = [
    ("u", "i0", "2024-01-03"),
    ("u", "i1", "1704067200"),  # 2024-01-01
    ("u", "i2", "1704153600000"),  # 2024-01-02
    ("v", "i3", "someday"),
    ("v", "i0", "2024-01-05T12:00:00Z"),
    ("v", "i1", ""),
    ("v", "i2", "2024-01-06"),
    ("u", "i1", "2024-01-09"),  # again: the first in time counts
    ("v", "i0", "2024-01-04"),  # earlier than the row above
    ("v", "i4", "2024-01-07"),
]


@pytest.fixture
def timed(tmp_path: Path) -> Path:
    return _source(tmp_path / "timed", "user_id,item_id,timestamp", TIMED)


def test_leave_last_out_by_hand(timed: Path, tmp_path: Path) -> None:
    dataset = _prepare(timed, tmp_path / "dataset", split="leave-last-out")
    assert _parts(dataset) == {
        ("u", "i1"): "train",
        ("u", "i2"): "validation",
        ("u", "i0"): "test",
        ("v", "i0"): "train",
        ("v", "i2"): "validation",
        ("v", "i4"): "test",
    }
    listed = {(row["row"], row["value"], row["reason"]) for row in _listed(dataset)}
    assert listed == {
        ("5", "v,i3", "malformed timestamp: 'someday'"),
        ("7", "v,i1", "malformed timestamp: ''"),
        ("9", "u,i1", "duplicate action"),
        ("6", "v,i0", "duplicate action"),
    }
    assert dataset.manifest.split == "leave-last-out"
    assert dataset.manifest.num_timed == 6


def test_times_are_kept_whatever_the_split(timed: Path, tmp_path: Path) -> None:
    """An unreadable time matters only to a split that needs it; elsewhere it is unknown."""
    dataset = _prepare(timed, tmp_path / "dataset")
    assert dataset.manifest.split == "leave-one-out"
    assert dataset.manifest.quarantine == {"duplicate action": 2}
    assert (dataset.manifest.num_interactions, dataset.manifest.num_timed) == (8, 6)
    actions = dataset.interactions
    assert actions.timestamps is not None
    reported = dict(zip(_parts(dataset), actions.timestamps.tolist(), strict=True))
    assert reported["v", "i0"] == (datetime(2024, 1, 4) - datetime(1970, 1, 1)).total_seconds()
    assert reported["u", "i1"] == 1704067200.0
    assert np.isnan([reported["v", "i3"], reported["v", "i1"]]).all()


def test_a_split_by_time(tmp_path: Path) -> None:
    rows = [("u", f"i{day}", f"2024-01-0{day + 1}") for day in range(8)] + [("late", "i0", "2024-01-08T01:00")]
    source = _source(tmp_path / "source", "user_id,item_id,timestamp", rows)
    dataset = _prepare(source, tmp_path / "dataset", split="time", validation_fraction=0.2, test_fraction=0.2)
    parts = _parts(dataset)
    assert [parts["u", f"i{day}"] for day in range(8)] == [*["train"] * 5, "validation", "validation", "test"]
    assert parts["late", "i0"] == "withheld"
    about = dataset.manifest
    assert (about.num_withheld, about.num_untrained_users, about.num_users) == (1, 1, 2)
    assert (about.split, about.validation_fraction, about.test_fraction) == ("time", 0.2, 0.2)
    assert dataset.interactions.matrix(Split.VALIDATION)[0].sum() == 2


def test_the_sources_own_split_is_kept_and_the_default(tmp_path: Path) -> None:
    rows = [
        ("u", "i0", "test"),
        ("u", "i1", "Train"),
        ("u", "i2", " validation "),
        ("u", "i3", "test"),
        ("v", "i0", "train"),
        ("v", "i1", "holdout"),
        ("v", "i2", ""),
    ]
    source = _source(tmp_path / "source", "user_id,item_id,split", rows)
    dataset = _prepare(source, tmp_path / "dataset")
    expected = {("u", f"i{n}"): part for n, part in enumerate(("test", "train", "validation", "test"))}
    assert _parts(dataset) == {**expected, ("v", "i0"): "train"}
    assert dataset.manifest.split == "source"
    reasons = [row["reason"] for row in _listed(dataset)]
    assert reasons == ["malformed split: 'holdout'", "malformed split: ''"]
    other = _prepare(source, tmp_path / "other", split="leave-one-out")
    assert other.manifest.num_interactions == 7
    assert other.manifest.num_quarantined == 0


def test_an_empty_split_column_is_none(tmp_path: Path) -> None:
    source = _source(tmp_path / "source", "user_id,item_id,split,timestamp", [("u", f"i{n}", "", "") for n in range(4)])
    dataset = _prepare(source, tmp_path / "dataset")
    assert dataset.manifest.split == "leave-one-out"
    assert dataset.interactions.timestamps is None
    assert "timestamp" not in pl.read_parquet(dataset.path / "interactions.parquet").columns


@pytest.mark.parametrize(
    ("split", "column"), [("leave-last-out", "timestamp"), ("time", "timestamp"), ("source", "split")]
)
def test_what_the_source_does_not_bring(tmp_path: Path, split: str, column: str) -> None:
    source = _source(tmp_path / "source", "user_id,item_id", [("u", "i0")])
    with pytest.raises(SourceError, match=rf"--split {split} needs a column `{column}`"):
        _prepare(source, tmp_path / "dataset", split=split)
    assert not (tmp_path / "dataset").exists()


def test_parquet_datetimes(tmp_path: Path) -> None:
    source = _source(tmp_path / "source", "user_id,item_id", [])
    days = [datetime(2024, 1, day, 6, 30) for day in (3, 1, 2)]
    table = pl.DataFrame({"user_id": ["u"] * 3, "item_id": ["i0", "i1", "i2"], "timestamp": days})
    table.write_parquet(source / "interactions.parquet")
    dataset = _prepare(source, tmp_path / "dataset", split="leave-last-out")
    assert _parts(dataset) == {("u", "i0"): "test", ("u", "i1"): "train", ("u", "i2"): "validation"}


@pytest.mark.parametrize("max_cache_bytes", [0, 1 << 20])
def test_filters_take_out_users_items_and_their_images(tmp_path: Path, max_cache_bytes: int) -> None:
    """i2 has one action, i3 none; without i2, w has one action left."""
    rows = [("u", "i0"), ("u", "i4"), ("v", "i0"), ("v", "i4"), ("w", "i2"), ("w", "i0")]
    source = _source(tmp_path / "source", "user_id,item_id", rows, images=IMAGES[:5])
    options = {"min_user_actions": 2, "min_item_actions": 2, "max_cache_bytes": max_cache_bytes}
    dataset = _prepare(source, tmp_path / "dataset", **options)
    assert dataset.items.item_ids == ["i0", "i4"]
    assert dataset.user_ids == ["u", "v"]
    about = dataset.manifest
    assert about.filtered == {"users": 1, "items": 3, "actions": 2}
    assert (about.min_user_actions, about.min_item_actions) == (2, 2)
    assert (about.num_quarantined, about.num_interactions) == (0, 4)
    assert [dataset.images.jpeg(row) for row in range(2)] == [IMAGES[0], IMAGES[4]]
    whole = _prepare(source, tmp_path / "whole", max_cache_bytes=1 << 20)
    np.testing.assert_array_equal(dataset.images.read(np.array([0, 1])), whole.images.read(np.array([0, 4])))
    assert PreparedDataset.open(dataset.path, verify=True).manifest == about


def test_items_without_an_action_stay_unless_one_is_asked_for(tmp_path: Path) -> None:
    source = _source(tmp_path / "source", "user_id,item_id", [("u", "i1"), ("u", "i2"), ("v", "i3")])
    kept = _prepare(source, tmp_path / "kept", min_user_actions=2)
    assert kept.manifest.num_items == 8
    assert kept.manifest.filtered == {"users": 1, "items": 0, "actions": 1}
    used = _prepare(source, tmp_path / "used", min_item_actions=1)
    assert used.items.item_ids == ["i1", "i2", "i3"]
    assert used.manifest.categories == ("a", "b")
    with pytest.raises(SourceError, match=r"of 3 actions\. --min-user-actions 9 and"):
        _prepare(source, tmp_path / "none", min_user_actions=9)


@pytest.fixture
def doubled(tmp_path: Path) -> Path:
    """i3 shows i0's file, i5 and i6 one PNG and one BMP of the same pixels, i7 the pixels of i0 at another quality."""
    pixels = noisy_picture(BLUE, (20, 20), 99)
    again = encoded(np.asarray(Image.fromarray(noisy_picture(RED, (20, 20), 0))), "PNG")
    images = [*IMAGES[:3], IMAGES[0], IMAGES[4], encoded(pixels, "PNG"), encoded(pixels, "BMP"), again]
    rows = [("u", "i0"), ("u", "i3"), ("u", "i1"), ("v", "i3"), ("v", "i6"), ("v", "i4"), ("w", "i5"), ("w", "i6")]
    return _source(tmp_path / "doubled", "user_id,item_id", rows, images=images)


SAME = [
    {"item_id": "i3", "first_item_id": "i0", "category": "b", "first_category": "a"},
    {"item_id": "i6", "first_item_id": "i5", "category": "a", "first_category": "b"},
]


def test_duplicates_are_reported_and_kept(doubled: Path, tmp_path: Path) -> None:
    dataset = _prepare(doubled, tmp_path / "dataset")
    assert _listed(dataset, "duplicates.csv") == SAME
    about = dataset.manifest
    assert (about.duplicates, about.num_duplicate_items, about.num_items) == ("keep", 2, 8)
    assert about.num_interactions == 8


def test_merging_moves_actions_onto_the_first(doubled: Path, tmp_path: Path) -> None:
    dataset = _prepare(doubled, tmp_path / "dataset", duplicates="merge")
    assert _listed(dataset, "duplicates.csv") == SAME
    assert dataset.items.item_ids == ["i0", "i1", "i2", "i4", "i5", "i7"]
    assert set(_parts(dataset)) == {
        *[("u", "i0"), ("u", "i1")],
        *[("v", "i0"), ("v", "i5"), ("v", "i4")],
        ("w", "i5"),
    }
    assert [row["value"] for row in _listed(dataset)] == ["u,i3", "w,i6"]
    assert dataset.manifest.quarantine == {"duplicate action": 2}
    assert dataset.images.jpeg(3) == IMAGES[4]
    assert len(dataset.images) == dataset.manifest.num_items == 6


def test_of_merged_items_the_first_in_time_counts(tmp_path: Path) -> None:
    rows = [("u", "i0", "2024-01-05"), ("u", "i1", "2024-01-01"), ("u", "i2", "2024-01-02"), ("u", "i3", "2024-01-03")]
    images = [IMAGES[0], IMAGES[0], *IMAGES[2:4]]
    source = _source(tmp_path / "source", "user_id,item_id,timestamp", rows, images=images)
    merged = _prepare(source, tmp_path / "merged", split="leave-last-out", duplicates="merge")
    assert _parts(merged) == {("u", "i0"): "train", ("u", "i2"): "validation", ("u", "i3"): "test"}


def test_all_of_it_is_the_same_again(doubled: Path, tmp_path: Path) -> None:
    options = {"duplicates": "merge", "min_item_actions": 1, "withhold_items": 0.2, "seed": 4}
    first = _prepare(doubled, tmp_path / "first", **options).manifest
    assert _prepare(doubled, tmp_path / "again", **options).manifest == first
    assert _prepare(doubled, tmp_path / "other").manifest.fingerprint != first.fingerprint


def test_a_folder_of_the_first_release_opens(timed: Path, tmp_path: Path) -> None:
    """Its manifest lacks what came later."""
    dataset = _prepare(timed, tmp_path / "dataset")
    path = dataset.path / "manifest.json"
    reported = json.loads(path.read_text())
    new = {"split", "validation_fraction", "test_fraction", "min_user_actions", "min_item_actions", "duplicates"}
    new |= {"num_timed", "num_untrained_users", "filtered", "num_duplicate_items"}
    path.write_text(json.dumps({name: value for name, value in reported.items() if name not in new}))
    old = PreparedDataset.open(dataset.path).manifest
    assert (old.split, old.filtered, old.num_duplicate_items, old.num_untrained_users) == (
        "leave-one-out",
        {},
        None,
        None,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("split", "random"),
        ("duplicates", "drop"),
        ("min_user_actions", -1),
        ("min_item_actions", -1),
        ("validation_fraction", -0.1),
        ("test_fraction", 0.9),
    ],
)
def test_options_out_of_range(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        PrepareOptions(**{name: value})
