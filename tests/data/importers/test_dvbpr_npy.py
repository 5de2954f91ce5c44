from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from dvbpr_npy_files import NUM_ITEMS, NUM_USERS, entries, jpeg, save

from tfdvbpr.data.importers.dvbpr_npy import DvbprNpyImporter
from tfdvbpr.data.interactions import Split
from tfdvbpr.data.preparation.prepare import PrepareOptions, prepare
from tfdvbpr.data.preparation.source import Source
from tfdvbpr.data.preparation.tables import ROW
from tfdvbpr.errors import SourceError
from tfdvbpr.pickles import read_object_array

# numpy.save of Python 2.7.18 and numpy 1.16.6, compressed: 2 users, 4 items, one-hot arrays of float64 and int64 and a
# list, numpy scalars among the numbers, and a defaultdict for user_test.
PYTHON_2_FILE = (
    "c-p0s-D=cO5XW<}+uFv}s`dLbZPlc@F6##(A}n~}g$K8?a6m7XkdLz_kWF?@PK3oC@Me`>`wG5^FX5$+&^K5o$yTu#DL5e^XEMz1KmW{^K6~~0Ez"
    "#a<AFP09zObH}*6xngHmy-Aq;L}_6#*~OFWflen9o9Y!trcBZg00uW&TeXA9X*;$CGKtPX+Ic^H@f%5bo4)1ozV<lOp$}0i>!jlA!tuI@M;3c%KK*u"
    "qmO-vqeE5rxR{Klj%E8s747EEZMZd$Zo&ie>uk}AG9aEy&){y3Xa)S8^Q{{t=g>VW>EqL)1P<YI9r{FG(dh7K#S_Rf)in@MsDW2u`3KX86rA5K(CeP"
    "XMdtK>9G}U5uXNdD&v$4;k1G?VT+Q?MbLUF>a2ouRjMdBuiyfnG%WD_G>$n6Lx+rjk6aWIM1@foeaG?g2z4cnW5iL0xl6MFTrL}4QE(MoG^&Qz6kN"
    "xXUJ`F$fdUgPh{o?S*kJ4P@ADsKl1fu>H;$*KHt#axha~*%{buETG4tqP=B=8U_gJ?YdB3L}F{GDMqTr?-{#DNX!*Xsd<ZS(79X0lQ1xr_OyN31PF"
    "w0u7*8agFwR5p08OfM~{ifIi8uKVHzkP-6oHi8PsnPHdH4NddT^NmbdGQ=&ht<|STKs`_-PSdm)yCc9((C*L$nY9u"
)


def parts(source: Source, name: str) -> dict[str, list[str]]:
    table = source.interactions.filter(pl.col("split") == name)
    return {user: rows["item_id"].to_list() for (user,), rows in table.group_by("user_id", maintain_order=True)}


@pytest.mark.parametrize("categories", [True, False], ids=["with-c", "without-c"])
@pytest.mark.parametrize("key", [str, str.encode], ids=["str", "bytes"])
@pytest.mark.parametrize("protocol", ["python2", 2, 3, 4, 5])
def test_the_authors_layout(tmp_path: Path, protocol: int | str, key: Callable[[str], Any], categories: bool) -> None:
    source = DvbprNpyImporter().read(
        save(tmp_path / "AmazonFashion6ImgPartitioned.npy", entries(key, categories=categories), protocol)
    )
    assert len(source.quarantine) == 0
    assert source.name == "AmazonFashion6ImgPartitioned"
    assert source.items["item_id"].to_list() == [str(item) for item in range(NUM_ITEMS)]
    expected = [f"category-{item % 6}" if categories else "all" for item in range(NUM_ITEMS)]
    assert source.items["category"].to_list() == expected
    for item, image in zip(range(NUM_ITEMS), source.items["image"], strict=True):
        assert source.image_bytes(image) == jpeg(item)
    users = range(NUM_USERS)
    assert parts(source, "train") == {str(u): [str(u), str(u + 1), str(u + 2)] for u in users}
    assert parts(source, "validation") == {str(u): [str(u + 3)] for u in users}
    assert parts(source, "test") == {str(u): [str(u + 4)] for u in users}
    assert source.interactions[ROW].to_list() == list(range(1, 5 * NUM_USERS + 1))


def test_a_file_of_python_2(tmp_path: Path) -> None:
    path = tmp_path / "TradesyImgPartitioned.npy"
    path.write_bytes(zlib.decompress(base64.b85decode(PYTHON_2_FILE)))
    source = DvbprNpyImporter().read(path)
    assert len(source.quarantine) == 0
    assert source.items["category"].to_list() == ["category-0", "category-5", "category-3", "category-1"]
    assert source.image_bytes("2") == b"\xff\xd8\xff\xe0 not really \x00\xff2"
    assert source.interactions.select("user_id", "item_id", "split").rows() == [
        ("0", "2", "train"),
        ("0", "0", "train"),
        ("1", "1", "train"),
        ("0", "1", "validation"),
        ("1", "0", "validation"),
        ("0", "3", "test"),
        ("1", "2", "test"),
    ]


def test_it_prepares_from_a_folder_with_one_file(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    save(tmp_path / "set" / "x.npy", entries(str.encode, categories=True), "python2")
    options = PrepareOptions(image_size=(16, 16))
    dataset = prepare(
        DvbprNpyImporter().read(tmp_path / "set"), tmp_path / "dataset", options=options, source_format="dvbpr-npy"
    )
    about = dataset.manifest
    assert (about.num_users, about.num_items, about.num_interactions) == (NUM_USERS, NUM_ITEMS, 5 * NUM_USERS)
    assert dataset.items.item_ids[0] == "0"
    assert len(dataset.interactions.of(Split.TEST)[0]) == NUM_USERS


def test_lists_and_arrays_in_the_place_of_dicts(tmp_path: Path) -> None:
    values = entries(str, categories=True)
    numbered = [list(part.values()) if isinstance(part, dict) else part for part in values]
    items = np.empty(NUM_ITEMS, object)
    items[:] = numbered[3]
    numbered[3] = items
    numbered[0][0] = np.array([0, 1, 2])
    first = DvbprNpyImporter().read(save(tmp_path / "dicts.npy", values, 4))
    second = DvbprNpyImporter().read(save(tmp_path / "lists.npy", numbered, 4))
    assert first.items.equals(second.items)
    assert first.interactions.equals(second.interactions)


def test_what_cannot_be_used_is_listed(tmp_path: Path) -> None:
    values = entries(str, categories=True)
    values[0][0] = [{"productid": 0}, {"asin": "B00"}, {"productid": "7"}, {"productid": True}, 5]
    values[0][1] = None
    del values[0][2]
    values[2]["nobody"] = [{"productid": 1}]
    values[3][0] = {"c": [0, 0, 1, 0, 0, 0]}
    values[3][1]["c"] = np.ones(6)
    values[3][2]["c"] = "red"
    values[3][6]["c"] = np.eye(6)[4:5]
    values[3][3] = "gone"
    del values[3][4]
    source = DvbprNpyImporter().read(save(tmp_path / "x.npy", values, 4))
    listed = source.quarantine.entries
    assert sorted((each.where, each.row, each.reason) for each in listed if each.row is not None) == [
        ("x.npy: Item", 1, "malformed category: `c` is not one-hot; taken as having no category"),
        ("x.npy: Item", 2, "malformed category: `c` is not one-hot; taken as having no category"),
        ("x.npy: user_train[0]", 2, "malformed row: no number in `productid`"),
        ("x.npy: user_train[0]", 3, "malformed row: no number in `productid`"),
        ("x.npy: user_train[0]", 4, "malformed row: no number in `productid`"),
    ]
    assert sorted((each.where, each.value) for each in listed if each.row is None) == [
        ("x.npy: Item", "3"),
        ("x.npy: Item", "4"),
        ("x.npy: user_test[nobody]", "[{'productid': 1}]"),
        ("x.npy: user_train[1]", "None"),
        ("x.npy: user_train[2]", "None"),
    ]
    assert parts(source, "train")["0"] == ["0", "5"]
    categories = dict(source.items.select("item_id", "category").iter_rows())
    assert (categories["0"], categories["1"], categories["2"], categories["6"]) == (
        "category-2",
        "all",
        "all",
        "category-4",
    )
    with pytest.raises(OSError, match="no bytes"):
        source.image_bytes("0")


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    arrays = [
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([True, False]),
        np.array(["ä", "bc"]),
        np.array([b"a", b"bc"]),
        np.zeros((0, 4), np.uint8),
    ]
    for protocol in (2, 4, 5):
        read = read_object_array(save(tmp_path / "x.npy", arrays, protocol))
        for expected, found in zip(arrays, read, strict=True):
            assert found.shape == expected.shape
            np.testing.assert_array_equal(found.values, expected)
    scalars = [np.int32(-3), np.float64(0.5), np.bool_(True), np.str_("ä"), np.bytes_(b"x"), {1, 2}]
    for protocol in (2, 5):
        assert read_object_array(save(tmp_path / "x.npy", scalars, protocol)) == [-3, 0.5, True, "ä", b"x", {1, 2}]


def test_files_of_another_kind(tmp_path: Path) -> None:
    np.save(tmp_path / "features.npy", np.zeros((3, 4), np.float32))
    with pytest.raises(SourceError, match=r"must hold a row of pickled objects. Received float32 of shape \(3, 4\)"):
        DvbprNpyImporter().read(tmp_path / "features.npy")
    (tmp_path / "text.npy").write_text("<html>404</html>")
    with pytest.raises(SourceError, match=r"must be a \.npy file"):
        DvbprNpyImporter().read(tmp_path / "text.npy")
    with pytest.raises(SourceError, match=r"holds 2. Give the file itself"):
        DvbprNpyImporter().read(tmp_path)
    with pytest.raises(SourceError, match="is neither"):
        DvbprNpyImporter().read(tmp_path / "none.npy")
    with pytest.raises(SourceError, match="Received 5 entries"):
        DvbprNpyImporter().read(save(tmp_path / "five.npy", entries(str, categories=False)[:5], 4))
    with pytest.raises(SourceError, match=r"user_train must be a dict or a list\. Received int"):
        DvbprNpyImporter().read(save(tmp_path / "other.npy", [1, 2, 3, 4, 5, 6], 4))
    whole = save(tmp_path / "whole.npy", entries(str, categories=True), 2).read_bytes()
    (tmp_path / "half.npy").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="must be whole"):
        DvbprNpyImporter().read(tmp_path / "half.npy")
