"""A folder with every defect: what is listed, and what is imported all the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from folder_sources import NUM_GOOD, NUM_TRUNCATED, NUM_USERS, actions, item, prepared, quarantine_rows
from tiny_data import BLUE, RED, huge_png, write_source

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.errors import UnknownIdError


@pytest.fixture(scope="module")
def broken_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that people's folders hold: 5 % truncated photos, 1 % unknown ids, and one of each other defect."""
    folder = tmp_path_factory.mktemp("broken") / "shop"
    items = [item(number) for number in range(NUM_GOOD)]
    for number in range(NUM_GOOD, NUM_GOOD + NUM_TRUNCATED):
        item_id, category, data = item(number)
        items.append((item_id, category, data[: len(data) // 2]))
    write_source(folder, items, [*actions(NUM_GOOD), *((f"user {user}", f"nowhere-{user}") for user in range(3))])
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
        repeated = actions(NUM_GOOD)[0]
        file.write(f"{repeated[0]},{repeated[1]}\nuser 0,zero\n,item-1\nuser 0\nuser 0,item-1,now\n".encode())
        file.write(b"user\xff,item-1\n")
    return folder


@pytest.fixture(scope="module")
def broken_dataset(broken_source: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepared(broken_source, tmp_path_factory.mktemp("prepared") / "dataset")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (f"images/{NUM_GOOD}.jpg", "broken image: "),
        ("images/zero.jpg", "broken image: empty file"),
        ("images/huge.png", "broken image: larger than the limit of 50000000 pixels"),
        ("images/page.jpg", "broken image: not an image in a known format"),
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
    (reported,) = [row["reason"] for row in quarantine_rows(broken_dataset) if row["value"] == value]
    assert reported.startswith(reason)


def test_everything_else_is_imported_and_the_counts_agree(broken_dataset: PreparedDataset) -> None:
    about = broken_dataset.manifest
    assert broken_dataset.items.item_ids == [f"item-{number}" for number in range(NUM_GOOD)]
    assert set(broken_dataset.user_ids) == {f"user {user}" for user in range(NUM_USERS)}
    assert about.num_items == NUM_GOOD == len(broken_dataset.images)
    assert about.num_users == NUM_USERS
    assert about.num_interactions == 10 * NUM_USERS == len(broken_dataset.interactions)
    assert about.num_validation == about.num_test == NUM_USERS
    assert about.num_train + about.num_validation + about.num_test + about.num_withheld == about.num_interactions
    rows = quarantine_rows(broken_dataset)
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
    for row in quarantine_rows(broken_dataset):
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
    assert pairs == set(actions(NUM_GOOD))
    np.testing.assert_array_equal(dataset.items.indices(["item-7", "item-0"]), [7, 0])
    np.testing.assert_array_equal(dataset.user_indices(dataset.user_ids), np.arange(NUM_USERS))
    assert (np.diff(dataset.interactions.user_ids) >= 0).all()
    category = dataset.items.table["category"][5]
    assert dataset.items.categories[dataset.items.category_ids[5]] == category == item(5)[1]
    for kind, ask in (
        ("item", lambda: dataset.items.indices(["item-1x"])),
        ("user", lambda: dataset.user_indices(["nobody"])),
        ("category", lambda: dataset.items.category_id("shoes")),
    ):
        with pytest.raises(UnknownIdError, match=f"`{kind}` must be one of"):
            ask()


def test_images_belong_to_their_items(broken_dataset: PreparedDataset) -> None:
    pixels = broken_dataset.images.read(np.array([4, 3, 94]))
    middle = pixels[:, 8, 8].astype(int)
    np.testing.assert_allclose(middle, [RED, BLUE, RED], atol=40)
    assert broken_dataset.images.jpeg(3) == item(3)[2]
