from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tiny_data import BLUE, RED, encoded, noisy_picture

from tfdvbpr.data.importers.amazon_reviews_2023 import AmazonReviews2023Importer
from tfdvbpr.data.preparation.prepare import PrepareOptions, prepare
from tfdvbpr.data.preparation.tables import ROW
from tfdvbpr.errors import SourceError

CATEGORIES = ["Clothing, Shoes & Jewelry", "Women", "Clothing", "Dresses", "Casual"]


def review(user: str, item: str, **fields: Any) -> dict[str, Any]:
    facts = {"rating": 5.0, "title": "x", "text": 'Nice\nand "warm"', "images": [], "asin": "V" + item}
    return {
        **facts,
        "parent_asin": item,
        "user_id": user,
        "timestamp": 1588687728923,
        "verified_purchase": True,
        **fields,
    }


def meta(item: str, **fields: Any) -> dict[str, Any]:
    images = [
        {"thumb": "https://x/t.jpg", "large": "https://x/l.jpg", "variant": "PT01", "hi_res": None},
        {"thumb": "https://y/t.jpg", "large": "https://y/l.jpg", "variant": "MAIN", "hi_res": None},
    ]
    facts = {
        "main_category": "AMAZON FASHION",
        "title": f"Item {item}",
        "price": 9.5,
        "images": images,
        "store": None,
    }
    return {**facts, "categories": CATEGORIES, "parent_asin": item, **fields}


def write(folder: Path, reviews: list[Any], metas: list[Any], *, packed: bool = False) -> Path:
    """Dicts become JSON lines, bytes stand as they are."""
    folder.mkdir(exist_ok=True)
    for name, records in (("Fashion", reviews), ("meta_Fashion", metas)):
        lines = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
        data = b"".join(line + b"\n" for line in lines)
        path = folder / (f"{name}.jsonl.gz" if packed else f"{name}.jsonl")
        path.write_bytes(gzip.compress(data) if packed else data)
    return folder


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_reviews_and_metadata(tmp_path: Path, packed: bool) -> None:
    reviews = [
        review("u1", "B1"),
        review("u1", "B2", rating=1.0, timestamp=1588687728000),
        {"user_id": "u2", "asin": "B1", "timestamp": None},
    ]
    metas = [meta("B1"), meta("B2", categories=[], images=[]), meta("B3", categories=None, main_category=None)]
    folder = write(tmp_path / "fashion", reviews, metas, packed=packed)
    (folder / "images").mkdir()
    (folder / "images" / "B1.png").write_bytes(b"one")
    source = AmazonReviews2023Importer().read(folder)
    assert len(source.quarantine) == 0
    assert source.interactions.select("user_id", "item_id", "timestamp", ROW).rows() == [
        ("u1", "B1", "1588687728.923", 1),
        ("u1", "B2", "1588687728", 2),
        ("u2", "B1", None, 3),
    ]
    assert source.items.select("item_id", "category", "image", "image_url", "title", "price", ROW).rows() == [
        ("B1", "Women > Clothing > Dresses", "images/B1.png", "https://y/l.jpg", "Item B1", "9.5", 1),
        ("B2", "AMAZON FASHION", "images/B2.jpg", None, "Item B2", "9.5", 2),
        ("B3", "all", "images/B3.jpg", "https://y/l.jpg", "Item B3", "9.5", 3),
    ]
    assert source.image_bytes("images/B1.png") == b"one"
    assert (source.name, source.interactions_name) == ("Fashion", "Fashion.jsonl.gz" if packed else "Fashion.jsonl")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"user_id": "u"', "malformed row: Expecting ',' delimiter"),
        (b"[1, 2]", "malformed row: a JSON list where an object must be"),
        (b"null", "malformed row: a JSON NoneType"),
        (b"[" * 100_000, "malformed row: "),
        (b'{"user_id": "u", "parent_asin": "B\xff"}', "malformed row: not UTF-8 text"),
        (b'{"user_id": "u", "parent_asin": "B\\ud800"}', "malformed row: not UTF-8 text in 'B\\\\ud800'"),
        (b'{"user_id": "u\\u0000", "parent_asin": "B1"}', "malformed row: not UTF-8 text"),
        (b'{"user_id": "u", "parent_asin": ' + b"1" * 5000 + b"}", "malformed row: Exceeds the limit"),
        (b'{"user_id": "u"}', "malformed row: nothing in item_id"),
        (b'{"user_id": " ", "asin": ""}', "malformed row: nothing in user_id, item_id"),
        (b'{"user_id": ["u"], "asin": {"a": 1}}', "malformed row: nothing in user_id, item_id"),
        (b'{"user_id": true, "asin": "B1"}', "malformed row: nothing in user_id"),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else "",
)
def test_a_bad_line_is_listed_and_the_rest_read(tmp_path: Path, line: bytes, reason: str) -> None:
    source = AmazonReviews2023Importer().read(
        write(tmp_path / "x", [review("u1", "B1"), b"", line, review("u2", "B1")], [meta("B1")])
    )
    assert source.interactions["user_id"].to_list() == ["u1", "u2"]
    (entry,) = source.quarantine.entries
    assert (entry.where, entry.row) == ("Fashion.jsonl", 3)
    assert entry.reason.startswith(reason)


def test_numbers_are_ids_too(tmp_path: Path) -> None:
    source = AmazonReviews2023Importer().read(
        write(tmp_path / "x", [review("u", "B", parent_asin=7, timestamp="2020-01-01")], [meta("B", parent_asin=7)])
    )
    assert source.items["item_id"].to_list() == source.interactions["item_id"].to_list() == ["7"]
    assert source.interactions["timestamp"].to_list() == ["2020-01-01"]


def test_missing_images_and_unknown_items_are_quarantined(tmp_path: Path) -> None:
    items = ["B1", "B2", "../Fashion", "a/b\0"]
    reviews = [review(f"u{user}", item) for user in range(4) for item in ("B1", "B2", "B9")]
    folder = write(tmp_path / "x", [*reviews, review("u1", "B1")], [meta(item) for item in items])
    (folder / "images").mkdir()
    (folder / "images" / "B1.jpg").write_bytes(encoded(noisy_picture(RED, (20, 16), 1)))
    (folder / "images" / "other.jpg").write_bytes(encoded(noisy_picture(BLUE, (20, 16), 1)))
    source = AmazonReviews2023Importer().read(folder)
    dataset = prepare(
        source, tmp_path / "d", options=PrepareOptions(image_size=(16, 16), max_loss=1.0), source_format="x"
    )
    assert dataset.items.item_ids == ["B1"]
    assert dataset.manifest.num_interactions == 4
    assert dataset.manifest.quarantine == {
        "malformed row": 1,
        "broken image": 2,
        "unknown item id": 4,
        "action on a quarantined item": 4,
        "duplicate action": 1,
    }
    facts = {(entry.where, entry.row): entry.reason for entry in source.quarantine.entries}
    assert facts["images/B2.jpg", 2] == "broken image: cannot be read: No such file or directory"


def test_a_damaged_archive_is_an_error(tmp_path: Path) -> None:
    folder = write(tmp_path / "x", [review(f"u{user}", "B1") for user in range(500)], [meta("B1")], packed=True)
    path = folder / "Fashion.jsonl.gz"
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], whole[:30] + b"\xff\xff\xff\xff" + whole[34:], whole[:-8] + b"\0" * 8):
        path.write_bytes(data)
        with pytest.raises(SourceError, match=r"Fashion\.jsonl\.gz must be whole. It cannot be read"):
            AmazonReviews2023Importer().read(folder)


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds: none"):
        AmazonReviews2023Importer().read(tmp_path / "none")
    folder = write(tmp_path / "x", [review("u1", "B1")], [meta("B1")])
    (folder / "Books.jsonl.gz").touch()
    with pytest.raises(SourceError, match=r"Books\.jsonl\.gz, Fashion\.jsonl, meta_Fashion\.jsonl"):
        AmazonReviews2023Importer().read(folder)
