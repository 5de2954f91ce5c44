from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tiny_data import BLUE, RED, encoded, noisy_picture

from tfdvbpr.data.importers.hm import HmImporter
from tfdvbpr.data.preparation.prepare import PrepareOptions, prepare
from tfdvbpr.data.preparation.tables import ROW
from tfdvbpr.errors import SourceError

ARTICLES = """article_id,product_code,prod_name,product_type_name,product_group_name,detail_desc
0108775015,0108775,Strap top,Vest top,Garment Upper body,"Jersey top, with ""narrow"" straps
and more."
0108775044,0108775,Strap top (1),Vest top,,A top.
0200000001,0200000,Shoe,,,
"""
TRANSACTIONS = """t_dat,customer_id,article_id,price,sales_channel_id
2018-09-20,000058a1,0108775015,0.05,2
2018-09-21,000058a1,0200000001,0.03,1
2018-09-21,00007d2d,0108775044,0.03
,00007d2d,0108775044,0.03,1
2018-09-22,,0108775044,0.03,1
"""


def write(folder: Path, articles: str = ARTICLES, transactions: str = TRANSACTIONS) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "articles.csv").write_text(articles, encoding="utf-8")
    (folder / "transactions_train.csv").write_text(transactions, encoding="utf-8")
    return folder


def test_the_competitions_layout(tmp_path: Path) -> None:
    source = HmImporter().read(write(tmp_path / "hm"))
    assert source.items.select("item_id", "category", "image", "detail_desc", ROW).rows() == [
        (
            "0108775015",
            "Garment Upper body",
            "images/010/0108775015.jpg",
            'Jersey top, with "narrow" straps\nand more.',
            3,
        ),
        ("0108775044", "Vest top", "images/010/0108775044.jpg", "A top.", 4),
        ("0200000001", "all", "images/020/0200000001.jpg", "", 5),
    ]
    assert source.interactions.select("user_id", "item_id", "timestamp", ROW).rows() == [
        ("000058a1", "0108775015", "2018-09-20", 2),
        ("000058a1", "0200000001", "2018-09-21", 3),
        ("00007d2d", "0108775044", "", 5),
    ]
    assert [(each.where, each.row, each.value, each.reason) for each in source.quarantine.entries] == [
        (
            "transactions_train.csv",
            4,
            "2018-09-21,00007d2d,0108775044,0.03",
            "malformed row: 4 fields where the header has 5",
        ),
        ("transactions_train.csv", 6, ",0108775044", "malformed row: nothing in customer_id"),
    ]


def test_zeros_that_were_eaten_come_back(tmp_path: Path) -> None:
    eaten = ARTICLES.replace("\n0108775", "\n108775").replace("\n0200000001", "\nx-1")
    source = HmImporter().read(
        write(tmp_path / "hm", eaten, TRANSACTIONS.replace(",0108775044,0.03\n", ",108775044,0.03,1\n"))
    )
    assert source.items["item_id"].to_list() == ["0108775015", "0108775044", "x-1"]
    assert source.interactions["item_id"].to_list() == ["0108775015", "0200000001", "0108775044", "0108775044"]


def test_parquet_tables_of_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "hm"
    folder.mkdir()
    pl.DataFrame({"article_id": [108775015], "product_group_name": ["Shoes"], "item_id": ["theirs"]}).write_parquet(
        folder / "articles.parquet"
    )
    days = pl.Series(["2018-09-20"]).str.to_date()
    pl.DataFrame({"t_dat": days, "customer_id": ["c"], "article_id": [108775015]}).write_parquet(
        folder / "transactions_train.parquet"
    )
    source = HmImporter().read(folder)
    assert source.items.select("item_id", "category").rows() == [("0108775015", "Shoes")]
    assert source.interactions.select("item_id", "timestamp").rows() == [("0108775015", "2018-09-20")]
    assert source.items_name == "articles.parquet"


def test_it_prepares_with_a_image_missing(tmp_path: Path) -> None:
    articles = "article_id,product_type_name\n" + "".join(f"{100000000 + n:010d},Top\n" for n in range(6))
    users = [f"2018-09-{day:02d},c{user},{100000000 + day - 1:010d}\n" for user in range(5) for day in range(1, 7)]
    folder = write(tmp_path / "hm", articles, "t_dat,customer_id,article_id\n" + "".join(users) + users[0])
    (folder / "images" / "010").mkdir(parents=True)
    for number in range(5):
        data = encoded(noisy_picture((RED, BLUE)[number % 2], (20, 16), number))
        (folder / "images" / "010" / f"{100000000 + number:010d}.jpg").write_bytes(data)
    dataset = prepare(
        HmImporter().read(folder),
        tmp_path / "d",
        options=PrepareOptions(image_size=(16, 16), max_loss=1.0),
        source_format="hm",
    )
    assert dataset.items.item_ids == [f"{100000000 + number:010d}" for number in range(5)]
    assert dataset.manifest.num_interactions == 25
    assert dataset.manifest.quarantine == {
        "broken image": 1,
        "action on a quarantined item": 5,
        "duplicate action": 1,
    }


def test_other_folders(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"must be a folder with articles\.csv and transactions_train\.csv"):
        HmImporter().read(tmp_path / "none")
    with pytest.raises(SourceError, match=r"must hold articles\.csv or articles\.parquet"):
        HmImporter().read(tmp_path)
    with pytest.raises(SourceError, match="must have the columns customer_id, article_id"):
        HmImporter().read(write(tmp_path / "hm", transactions="t_dat,customer,article_id\n1,2,3\n"))
