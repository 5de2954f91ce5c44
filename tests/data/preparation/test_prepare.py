from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from folder_sources import actions, item, prepared
from tiny_data import write_source

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers import IMPORTERS
from tfdvbpr.data.interactions import Split
from tfdvbpr.data.preparation.prepare import PrepareOptions, prepare
from tfdvbpr.errors import ConfigError, DatasetError, OutputExistsError, SourceError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source", [item(number) for number in range(12)], actions(12, per_user=4))


def test_hashes_find_a_flipped_byte(source: Path, tmp_path: Path) -> None:
    dataset = prepared(source, tmp_path / "dataset")
    PreparedDataset.open(dataset.path, verify=True)
    for name in dataset.manifest.files:
        file = dataset.path / name
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        PreparedDataset.open(dataset.path)
        with pytest.raises(DatasetError, match=f"{name} must agree with the manifest"):
            PreparedDataset.open(dataset.path, verify=True)
        file.write_bytes(whole[:-1])
        with pytest.raises(DatasetError, match="missing or damaged"):
            PreparedDataset.open(dataset.path)
        file.write_bytes(whole)
    PreparedDataset.open(dataset.path, verify=True)


def test_manifest_lists_every_file(source: Path, tmp_path: Path) -> None:
    dataset = prepared(source, tmp_path / "dataset")
    assert {*dataset.manifest.files, "manifest.json"} == {path.name for path in dataset.path.iterdir()}


def test_another_version_a_damaged_manifest_and_no_dataset(source: Path, tmp_path: Path) -> None:
    dataset = prepared(source, tmp_path / "dataset")
    manifest = dataset.path / "manifest.json"
    reported = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**reported, "format_version": 99}))
    with pytest.raises(DatasetError, match=r"is of version 99\. Prepare it again"):
        PreparedDataset.open(dataset.path)
    manifest.write_text('{"format_version": 1}')
    with pytest.raises(DatasetError, match="cannot be read"):
        PreparedDataset.open(dataset.path)
    manifest.write_text("not json")
    with pytest.raises(DatasetError, match="cannot be read"):
        PreparedDataset.open(dataset.path)
    with pytest.raises(DatasetError, match="Run `tfdvbpr prepare"):
        PreparedDataset.open(tmp_path / "nowhere")


def test_the_same_source_and_seed_give_the_same_dataset(source: Path, tmp_path: Path) -> None:
    first = prepared(source, tmp_path / "first").manifest
    again = prepared(source, tmp_path / "again").manifest
    other = prepared(source, tmp_path / "other", seed=1).manifest
    assert first == again
    assert first.fingerprint != other.fingerprint


def test_withheld_items_and_cold_items(source: Path, tmp_path: Path) -> None:
    dataset = prepared(source, tmp_path / "dataset", withhold_items=0.25)
    interactions, about = dataset.interactions, dataset.manifest
    withheld = np.unique(interactions.of(Split.WITHHELD)[1])
    assert 0 < len(withheld) <= 3
    assert about.num_withheld == len(interactions.of(Split.WITHHELD)[0])
    assert not interactions.training_counts[withheld].any()
    assert about.num_cold_items == np.count_nonzero(interactions.training_counts < 5)


def test_without_a_cache_the_same_pixels_are_read(source: Path, tmp_path: Path) -> None:
    cached = prepared(source, tmp_path / "cached")
    plain = prepared(source, tmp_path / "plain", max_cache_bytes=0)
    assert "images_uint8.npy" in cached.manifest.files
    assert "images_uint8.npy" not in plain.manifest.files
    rows = np.array([3, 0, 11, 3])
    np.testing.assert_array_equal(cached.images.read(rows), plain.images.read(rows))


def test_output_that_holds_something_is_left_alone(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "dataset"
    output.mkdir()
    (output / "mine.txt").write_text("precious")
    with pytest.raises(OutputExistsError, match="--if-exists overwrite"):
        prepared(source, output)
    assert [path.name for path in output.iterdir()] == ["mine.txt"]
    with pytest.raises(OutputExistsError, match="must be a folder"):
        prepared(source, output / "mine.txt")


def test_overwrite_replaces_only_when_the_new_one_is_whole(source: Path, tmp_path: Path) -> None:
    output = prepared(source, tmp_path / "dataset").path
    before = (output / "manifest.json").read_bytes()
    options = PrepareOptions(image_size=(32, 32))

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(
            IMPORTERS["folder"]().read(source),
            output,
            options=options,
            source_format="folder",
            if_exists="overwrite",
            progress=interrupt,
        )
    assert (output / "manifest.json").read_bytes() == before
    dataset = prepare(
        IMPORTERS["folder"]().read(source), output, options=options, source_format="folder", if_exists="overwrite"
    )
    assert dataset.manifest.image_size == (32, 32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "source"]


def test_an_interruption_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []

    def interrupt(done: int, total: int) -> None:
        calls.append((done, total))
        raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError, match="plug"):
        prepare(
            IMPORTERS["folder"]().read(source),
            tmp_path / "dataset",
            options=PrepareOptions(image_size=(16, 16)),
            source_format="folder",
            progress=interrupt,
        )
    assert calls == [(12, 12)]
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_parquet_tables_and_metadata(source: Path, tmp_path: Path) -> None:
    for name in ("items", "interactions"):
        table = pl.read_csv(source / f"{name}.csv", infer_schema=False)
        if name == "items":
            table = table.with_columns(pl.Series("price", range(table.height)))
        table.write_parquet(source / f"{name}.parquet")
        (source / f"{name}.csv").unlink()
    dataset = prepared(source, tmp_path / "dataset")
    assert dataset.manifest.num_items == 12
    assert dataset.manifest.num_quarantined == 0
    assert dataset.items.table.columns == ["item_id", "category", "price"]
    assert dataset.items.table["price"].to_list() == [str(number) for number in range(12)]


def test_no_category_column_and_empty_categories(source: Path, tmp_path: Path) -> None:
    items = pl.read_csv(source / "items.csv", infer_schema=False)
    items.drop("category").write_csv(source / "items.csv")
    assert prepared(source, tmp_path / "without").manifest.categories == ("all",)
    items.with_columns(pl.when(pl.col("category") == "shoe").then(pl.lit("shoe")).alias("category")).write_csv(
        source / "items.csv"
    )
    assert prepared(source, tmp_path / "partly").manifest.categories == ("all", "shoe")


@pytest.mark.parametrize(
    ("name", "header", "missing"),
    [("items", "id,category,image", "item_id"), ("interactions", "user,item", "user_id, item_id")],
)
def test_wrong_header(source: Path, tmp_path: Path, name: str, header: str, missing: str) -> None:
    lines = (source / f"{name}.csv").read_text().splitlines()
    (source / f"{name}.csv").write_text("\n".join([header, *lines[1:]]))
    with pytest.raises(SourceError, match=f"Name or rename {missing} in its header"):
        prepared(source, tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


def test_nothing_left(source: Path, tmp_path: Path) -> None:
    for image in (source / "images").iterdir():
        image.write_bytes(b"")
    with pytest.raises(
        SourceError, match=r"at least one usable item\. Left out: 120 action on a quarantined item, 12 broken image"
    ):
        prepared(source, tmp_path / "dataset")
    (source / "images" / "0.jpg").write_bytes(item(0)[2])
    (source / "interactions.csv").write_text("user_id,item_id\nsomeone,item-1\n")
    with pytest.raises(SourceError, match="at least one usable action"):
        prepared(source, tmp_path / "dataset")
    (source / "items.csv").write_text("item_id,image\n")
    with pytest.raises(SourceError, match=r"at least one usable item\. Left out: 1 unknown item id"):
        prepared(source, tmp_path / "dataset")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset.refused", "source"]
    assert sorted(path.name for path in (tmp_path / "dataset.refused").iterdir()) == ["health.json", "quarantine.csv"]


def test_no_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="There is no folder"):
        IMPORTERS["folder"]().read(tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"items.csv or items.parquet"):
        IMPORTERS["folder"]().read(tmp_path)


@pytest.mark.parametrize(("name", "value"), [("image_size", (15, 64)), ("fit", "stretch"), ("withhold_items", 1.0)])
def test_options_out_of_range(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        PrepareOptions(**{name: value})
