"""What every importer must do: ids round-trip, and what is bad is listed with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tiny_data import RED, encoded, noisy_picture

from tfdvbpr.api import prepare
from tfdvbpr.config.base import resolve_config
from tfdvbpr.data.importers import IMPORTERS
from tfdvbpr.data.preparation.prepare import PrepareOptions
from tfdvbpr.data.preparation.tables import ROW
from tfdvbpr.errors import ConfigError, SourceError

JPEG = encoded(noisy_picture(RED, (20, 16), 0))


@dataclass(frozen=True)
class Written:
    """A source on disk.

    Attributes:
        path: what the importer reads; None for one that reads nothing.
        item_ids: of the usable items; None where they are simulated.
        user_ids: of the users with a usable action; None where they are simulated.
        num_bad: rows and images that must be in the quarantine.
        options: the importer's.
    """

    path: Path | None
    item_ids: list[str] | None = None
    user_ids: list[str] | None = None
    num_bad: int = 0
    options: dict[str, Any] | None = None


def _folder(folder: Path) -> Written:
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "good.jpg").write_bytes(JPEG)
    (folder / "images" / "bad.jpg").write_bytes(JPEG[:40])
    items = ["é 1,all,images/good.jpg", "002,all,images/good.jpg", "3,all,images/bad.jpg", "4,all"]
    actions = ["ü,é 1", "ü,002", "07,002", "07,002", "07,none", "07,3", "08"]
    (folder / "items.csv").write_text("\n".join(["item_id,category,image", *items]), encoding="utf-8")
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id", *actions]), encoding="utf-8")
    return Written(folder, ["é 1", "002"], ["ü", "07"], num_bad=6)


def _amazon(folder: Path) -> Written:
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "B1.jpg").write_bytes(JPEG)
    (folder / "images" / "B2.jpg").write_bytes(JPEG)
    items = [json.dumps({"parent_asin": name}) for name in ("B1", "B2")]
    actions = [json.dumps({"user_id": "ü", "parent_asin": name, "timestamp": 1}) for name in ("B1", "B2", "B3")]
    (folder / "meta_x.jsonl").write_text("\n".join([*items, "{"]))
    (folder / "x.jsonl").write_text("\n".join([*actions, "[]"]))
    return Written(folder, ["B1", "B2"], ["ü"], num_bad=3)


def _hm(folder: Path) -> Written:
    (folder / "images" / "010").mkdir(parents=True)
    for number in (1, 2):
        (folder / "images" / "010" / f"010000000{number}.jpg").write_bytes(JPEG)
    items = ["article_id,product_group_name", "0100000001,Shoes", "0100000002,Shoes", "0100000003,Shoes"]
    actions = ["t_dat,customer_id,article_id", "2018-09-20,c,0100000001", "2018-09-20,c,100000002", "2018-09-20,c"]
    (folder / "articles.csv").write_text("\n".join(items))
    (folder / "transactions_train.csv").write_text("\n".join(actions))
    return Written(folder, ["0100000001", "0100000002"], ["c"], num_bad=2)


def _dvbpr_npy(folder: Path) -> Written:
    folder.mkdir()
    items = {0: {"imgs": JPEG}, 1: {"imgs": JPEG}, 2: {"imgs": b""}}
    parts = [{0: [{"productid": 0}], 1: [{"productid": "x"}]}, {0: []}, {0: [{"productid": 1}]}]
    entries = np.empty(6, object)
    entries[:] = [*parts, items, 2, 3]
    np.save(folder / "tiny.npy", entries, allow_pickle=True)
    return Written(folder / "tiny.npy", ["0", "1"], ["0"], num_bad=2)


def _fashion_mnist(folder: Path) -> Written:
    folder.mkdir()
    for part in ("train", "t10k"):
        for name, header, sides in (("images-idx3", [0x803, 20, 28, 28], (28, 28)), ("labels-idx1", [0x801, 20], ())):
            data = np.arange(20 * int(np.prod(sides))) % 10
            (folder / f"{part}-{name}-ubyte").write_bytes(
                np.array(header, ">u4").tobytes() + data.astype(np.uint8).tobytes()
            )
    return Written(folder, options={"num_items": 30, "num_users": 5})


def _synthetic(folder: Path) -> Written:
    return Written(None, options={"num_items": 30, "num_users": 5})


WRITERS: dict[str, Callable[[Path], Written]] = {
    "folder": _folder,
    "amazon-reviews-2023": _amazon,
    "hm": _hm,
    "dvbpr-npy": _dvbpr_npy,
    "fashion-mnist": _fashion_mnist,
    "synthetic": _synthetic,
}


@pytest.fixture(params=IMPORTERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_ids_round_trip_and_bad_rows_are_listed_with_a_reason(name: str, tmp_path: Path) -> None:
    written = WRITERS[name](tmp_path / "source")
    dataset = prepare(
        written.path,
        tmp_path / "dataset",
        source_format=name,
        importer_options=written.options,
        options=PrepareOptions(image_size=(16, 16), split="leave-one-out", max_loss=1.0),
    )
    about = dataset.manifest
    assert about.source_format == name
    if written.item_ids is not None:
        assert dataset.items.item_ids == written.item_ids
        assert dataset.user_ids == written.user_ids
    else:
        assert (about.num_items, about.num_users) == (30, 5)
    assert dataset.images.read(np.arange(about.num_items)).shape == (about.num_items, 16, 16, 3)
    listed = pl.read_csv(dataset.path / "quarantine.csv", infer_schema=False)
    assert listed.height == about.num_quarantined == written.num_bad
    assert listed["where"].is_not_null().all()
    assert (listed["reason"].str.len_chars() > 5).all()


def test_reads_the_same_tables_each_time(name: str, tmp_path: Path) -> None:
    written = WRITERS[name](tmp_path / "source")
    importer = resolve_config(IMPORTERS[name], defaults=written.options)
    first, again = (importer.read(written.path) for _ in range(2))
    assert first.items.equals(again.items)
    assert first.interactions.equals(again.interactions)
    for table, columns in (
        (first.items, ("item_id", "category", "image")),
        (first.interactions, ("user_id", "item_id")),
    ):
        assert {*columns, ROW} <= set(table.columns)
        assert table[ROW].dtype == pl.Int64
        assert all(dtype == pl.String for column, dtype in table.schema.items() if column != ROW)
    assert first.image_bytes(first.items["image"][0]) == again.image_bytes(first.items["image"][0])
    with pytest.raises((OSError, KeyError, ValueError)):
        first.image_bytes("../nothing")


def test_options_have_defaults_and_descriptions(name: str) -> None:
    kind = IMPORTERS[name]
    assert kind.summary.endswith(".")
    assert kind() == resolve_config(kind)
    assert all(field.description for field in kind.model_fields.values())
    with pytest.raises(ConfigError, match="`nonsense` is no field"):
        resolve_config(kind, defaults={"nonsense": 1})


def test_source_is_asked_for_or_refused(name: str, tmp_path: Path) -> None:
    """A folder without the files of the format is refused in a sentence, and nothing is written."""
    (tmp_path / "empty").mkdir()
    needs = IMPORTERS[name].needs_source
    with pytest.raises(ConfigError if needs == "no" else SourceError):
        prepare(tmp_path / "empty", tmp_path / "out", source_format=name)
    if needs == "yes":
        with pytest.raises(ConfigError, match="needs a SOURCE"):
            prepare(None, tmp_path / "out", source_format=name)
    assert not (tmp_path / "out").exists()
