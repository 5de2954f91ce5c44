from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny_data import BLUE, RED, encoded, huge_png, noisy_picture, write_source

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.data.importers import IMPORTERS
from tfdvbpr.data.interactions import Split
from tfdvbpr.data.prepare import PrepareOptions, prepare
from tfdvbpr.errors import ConfigError, DatasetError, OutputExistsError, SourceError, UnknownIdError

Actions = list[tuple[str, str]]
NUM_GOOD, NUM_TRUNCATED, NUM_USERS = 95, 5, 30


def _item(number: int) -> tuple[str, str, bytes]:
    data = encoded(noisy_picture((RED, BLUE)[number % 2], (24, 18), number))
    return f"item-{number}", ("shirt", "shoe", "dress")[number % 3], data


def _actions(num_items: int, *, per_user: int = 10) -> Actions:
    generator = np.random.default_rng(0)
    return [
        (f"user {user}", f"item-{item}")
        for user in range(NUM_USERS)
        for item in generator.choice(num_items, per_user, replace=False)
    ]


def _prepare(source: Path, output: Path, **options: object) -> PreparedDataset:
    chosen = {"image_size": (16, 16), **options}
    return prepare(IMPORTERS["folder"](source), output, options=PrepareOptions(**chosen), source_format="folder")


def _quarantine(dataset: PreparedDataset) -> list[dict[str, str]]:
    with (dataset.path / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def broken_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that people's folders hold: 5 % truncated photos, 1 % unknown ids, and one of each other defect."""
    folder = tmp_path_factory.mktemp("broken") / "shop"
    items = [_item(number) for number in range(NUM_GOOD)]
    for number in range(NUM_GOOD, NUM_GOOD + NUM_TRUNCATED):
        item_id, category, data = _item(number)
        items.append((item_id, category, data[: len(data) // 2]))
    write_source(folder, items, [*_actions(NUM_GOOD), *((f"user {user}", f"nowhere-{user}") for user in range(3))])
    images = folder / "images"
    (images / "zero.jpg").touch()
    (images / "huge.png").write_bytes(huge_png(20_000))
    (images / "page.jpg").write_text("<html>404</html>")
    (folder.parent / "outside.jpg").write_bytes(items[0][2])
    with (folder / "items.csv").open("ab") as file:
        file.write(b"zero,shoe,images/zero.jpg\nhuge,shoe,images/huge.png\npage,shoe,images/page.jpg\n")
        file.write(b"gone,shoe,images/gone.jpg\nescaped,shoe,../outside.jpg\nabsolute,shoe,/etc/hostname\n")
        file.write(b"a-folder,shoe,images\nitem-3,shoe,images/4.jpg\n")
        file.write(b"too,many,images/1.jpg,fields\ntoo few,shoe\n,shoe,images/1.jpg\n")
        file.write(b"nul\x00,shoe,images/1.jpg\nlatin\xe9,shoe,images/1.jpg\n")
    with (folder / "interactions.csv").open("ab") as file:
        repeated = _actions(NUM_GOOD)[0]
        file.write(f"{repeated[0]},{repeated[1]}\nuser 0,zero\n,item-1\nuser 0\nuser 0,item-1,now\n".encode())
        file.write(b"user\xff,item-1\n")
    return folder


@pytest.fixture(scope="module")
def broken_dataset(broken_source: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return _prepare(broken_source, tmp_path_factory.mktemp("prepared") / "dataset")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (f"images/{NUM_GOOD}.jpg", "broken image: "),
        ("images/zero.jpg", "broken image: empty file"),
        ("images/huge.png", "broken image: larger than the limit of 50000000 pixels"),
        ("images/page.jpg", "broken image: not a picture in a known format"),
        ("images/gone.jpg", "broken image: cannot be read: No such file"),
        ("../outside.jpg", "broken image: cannot be read: the path leaves the source folder"),
        ("/etc/hostname", "broken image: cannot be read: the path leaves the source folder"),
        ("images", "broken image: cannot be read: Is a directory"),
        ("item-3", "duplicate item id"),
        ("too,many,images/1.jpg,fields", "malformed row: 4 fields where the header has 3"),
        ("too few,shoe", "malformed row: 2 fields where the header has 3"),
        (",images/1.jpg", "malformed row: nothing in item_id"),
        ("user 0,nowhere-0", "unknown item id"),
        ("user 1,nowhere-1", "unknown item id"),
        ("user 0,zero", "action on a quarantined item"),
        ("user 0,item-1,now", "malformed row: 3 fields where the header has 2"),
        ("user 0", "malformed row: 1 fields where the header has 2"),
        (",item-1", "malformed row: nothing in user_id"),
    ],
)
def test_every_defect_is_listed_with_its_reason(broken_dataset: PreparedDataset, value: str, reason: str) -> None:
    (told,) = [row["reason"] for row in _quarantine(broken_dataset) if row["value"] == value]
    assert told.startswith(reason)


def test_everything_else_is_imported_and_the_counts_agree(broken_dataset: PreparedDataset) -> None:
    about = broken_dataset.manifest
    assert broken_dataset.items.item_ids == [f"item-{number}" for number in range(NUM_GOOD)]
    assert set(broken_dataset.user_ids) == {f"user {user}" for user in range(NUM_USERS)}
    assert about.num_items == NUM_GOOD == len(broken_dataset.images)
    assert about.num_users == NUM_USERS
    assert about.num_interactions == 10 * NUM_USERS == len(broken_dataset.interactions)
    assert about.num_validation == about.num_test == NUM_USERS
    assert about.num_train + about.num_validation + about.num_test + about.num_withheld == about.num_interactions
    rows = _quarantine(broken_dataset)
    kinds = Counter(row["reason"].split(":")[0] for row in rows)
    assert about.num_quarantined == len(rows)
    assert about.quarantine == dict(kinds)
    assert kinds == {
        "broken image": NUM_TRUNCATED + 7,
        "duplicate item id": 1,
        "malformed row": 5 + 4,
        "unknown item id": 3,
        "action on a quarantined item": 1,
        "duplicate action": 1,
    }


def test_rows_in_the_quarantine_are_lines_of_the_source(broken_source: Path, broken_dataset: PreparedDataset) -> None:
    lines = (broken_source / "items.csv").read_bytes().split(b"\n")
    checked = 0
    for row in _quarantine(broken_dataset):
        if row["reason"].startswith(("broken image", "duplicate item")):
            assert row["value"].encode() in lines[int(row["row"]) - 1]
            checked += 1
    assert checked == NUM_TRUNCATED + 8


def test_ids_and_actions_round_trip(broken_dataset: PreparedDataset) -> None:
    dataset = PreparedDataset.open(broken_dataset.path)
    pairs = {
        (dataset.user_ids[user], dataset.items.item_ids[item])
        for user, item in zip(dataset.interactions.user_ids, dataset.interactions.item_ids, strict=True)
    }
    assert pairs == set(_actions(NUM_GOOD))
    np.testing.assert_array_equal(dataset.items.indices(["item-7", "item-0"]), [7, 0])
    np.testing.assert_array_equal(dataset.user_indices(dataset.user_ids), np.arange(NUM_USERS))
    assert (np.diff(dataset.interactions.user_ids) >= 0).all()
    category = dataset.items.table["category"][5]
    assert dataset.items.categories[dataset.items.category_ids[5]] == category == _item(5)[1]
    for kind, ask in (
        ("item", lambda: dataset.items.indices(["item-1x"])),
        ("user", lambda: dataset.user_indices(["nobody"])),
        ("category", lambda: dataset.items.category_id("shoes")),
    ):
        with pytest.raises(UnknownIdError, match=f"`{kind}` must be one of"):
            ask()


def test_pictures_belong_to_their_items(broken_dataset: PreparedDataset) -> None:
    pixels = broken_dataset.images.read(np.array([4, 3, 94]))
    middle = pixels[:, 8, 8].astype(int)
    np.testing.assert_allclose(middle, [RED, BLUE, RED], atol=40)
    assert broken_dataset.images.jpeg(3) == _item(3)[2]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source", [_item(number) for number in range(12)], _actions(12, per_user=4))


def test_hashes_find_a_flipped_byte(source: Path, tmp_path: Path) -> None:
    dataset = _prepare(source, tmp_path / "dataset")
    PreparedDataset.open(dataset.path, verify=True)
    for name in dataset.manifest.files:
        file = dataset.path / name
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        PreparedDataset.open(dataset.path)
        with pytest.raises(DatasetError, match=f"{name} must be as the manifest says"):
            PreparedDataset.open(dataset.path, verify=True)
        file.write_bytes(whole[:-1])
        with pytest.raises(DatasetError, match="missing or damaged"):
            PreparedDataset.open(dataset.path)
        file.write_bytes(whole)
    PreparedDataset.open(dataset.path, verify=True)


def test_manifest_lists_every_file(source: Path, tmp_path: Path) -> None:
    dataset = _prepare(source, tmp_path / "dataset")
    assert {*dataset.manifest.files, "manifest.json"} == {path.name for path in dataset.path.iterdir()}


def test_another_version_a_damaged_manifest_and_no_dataset(source: Path, tmp_path: Path) -> None:
    dataset = _prepare(source, tmp_path / "dataset")
    manifest = dataset.path / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "format_version": 99}))
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
    first = _prepare(source, tmp_path / "first").manifest
    again = _prepare(source, tmp_path / "again").manifest
    other = _prepare(source, tmp_path / "other", seed=1).manifest
    assert first == again
    assert first.fingerprint != other.fingerprint


def test_withheld_items_and_cold_items(source: Path, tmp_path: Path) -> None:
    dataset = _prepare(source, tmp_path / "dataset", withhold_items=0.25)
    interactions, about = dataset.interactions, dataset.manifest
    withheld = np.unique(interactions.of(Split.WITHHELD)[1])
    assert 0 < len(withheld) <= 3
    assert about.num_withheld == len(interactions.of(Split.WITHHELD)[0])
    assert not interactions.training_counts[withheld].any()
    assert about.num_cold_items == np.count_nonzero(interactions.training_counts < 5)


def test_without_a_cache_the_same_pixels_are_read(source: Path, tmp_path: Path) -> None:
    cached = _prepare(source, tmp_path / "cached")
    plain = _prepare(source, tmp_path / "plain", max_cache_bytes=0)
    assert "images_uint8.npy" in cached.manifest.files
    assert "images_uint8.npy" not in plain.manifest.files
    rows = np.array([3, 0, 11, 3])
    np.testing.assert_array_equal(cached.images.read(rows), plain.images.read(rows))


def test_output_that_holds_something_is_left_alone(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "dataset"
    output.mkdir()
    (output / "mine.txt").write_text("precious")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        _prepare(source, output)
    assert [path.name for path in output.iterdir()] == ["mine.txt"]
    with pytest.raises(OutputExistsError, match="must be a folder"):
        _prepare(source, output / "mine.txt")


def test_overwrite_replaces_only_when_the_new_one_is_whole(source: Path, tmp_path: Path) -> None:
    output = _prepare(source, tmp_path / "dataset").path
    before = (output / "manifest.json").read_bytes()
    options = PrepareOptions(image_size=(32, 32))

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(
            IMPORTERS["folder"](source),
            output,
            options=options,
            source_format="folder",
            overwrite=True,
            progress=interrupt,
        )
    assert (output / "manifest.json").read_bytes() == before
    dataset = prepare(IMPORTERS["folder"](source), output, options=options, source_format="folder", overwrite=True)
    assert dataset.manifest.image_size == (32, 32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "source"]


def test_an_interruption_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []

    def interrupt(done: int, total: int) -> None:
        calls.append((done, total))
        raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError, match="plug"):
        prepare(
            IMPORTERS["folder"](source),
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
    dataset = _prepare(source, tmp_path / "dataset")
    assert dataset.manifest.num_items == 12
    assert dataset.manifest.num_quarantined == 0
    assert dataset.items.table.columns == ["item_id", "category", "price"]
    assert dataset.items.table["price"].to_list() == [str(number) for number in range(12)]


def test_no_category_column_and_empty_categories(source: Path, tmp_path: Path) -> None:
    items = pl.read_csv(source / "items.csv", infer_schema=False)
    items.drop("category").write_csv(source / "items.csv")
    assert _prepare(source, tmp_path / "without").manifest.categories == ("all",)
    items.with_columns(pl.when(pl.col("category") == "shoe").then(pl.lit("shoe")).alias("category")).write_csv(
        source / "items.csv"
    )
    assert _prepare(source, tmp_path / "partly").manifest.categories == ("all", "shoe")


@pytest.mark.parametrize(
    ("name", "header", "missing"),
    [("items", "id,category,image", "item_id"), ("interactions", "user,item", "user_id, item_id")],
)
def test_wrong_header(source: Path, tmp_path: Path, name: str, header: str, missing: str) -> None:
    lines = (source / f"{name}.csv").read_text().splitlines()
    (source / f"{name}.csv").write_text("\n".join([header, *lines[1:]]))
    with pytest.raises(SourceError, match=f"Name or rename {missing} in its header"):
        _prepare(source, tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


def test_nothing_left(source: Path, tmp_path: Path) -> None:
    for picture in (source / "images").iterdir():
        picture.write_bytes(b"")
    with pytest.raises(SourceError, match=r"at least one usable item\. Left out: 12 broken image"):
        _prepare(source, tmp_path / "dataset")
    (source / "images" / "0.jpg").write_bytes(_item(0)[2])
    (source / "interactions.csv").write_text("user_id,item_id\nsomeone,item-1\n")
    with pytest.raises(SourceError, match="at least one usable action"):
        _prepare(source, tmp_path / "dataset")
    (source / "items.csv").write_text("item_id,image\n")
    with pytest.raises(SourceError, match=r"at least one usable item\. Left out: nothing"):
        _prepare(source, tmp_path / "dataset")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_no_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="There is no folder"):
        IMPORTERS["folder"](tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"items.csv or items.parquet"):
        IMPORTERS["folder"](tmp_path)


@pytest.mark.parametrize(("name", "value"), [("image_size", (15, 64)), ("fit", "stretch"), ("withhold_items", 1.0)])
def test_options_out_of_range(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        PrepareOptions(**{name: value})
