"""Delta tables: the files of the newest version, with the values that the log has of them."""

from __future__ import annotations

import json
import string
import struct
import sys
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from tfdvbpr.data.preparation.columns import Columns
from tfdvbpr.data.preparation.parquet_parts import find_parts
from tfdvbpr.data.preparation.parquet_table import read_parquet_table
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import TableFacts
from tfdvbpr.errors import SourceError


def read(path: Path) -> pl.DataFrame:
    return read_parquet_table(path, TableFacts(name=path.name), Columns())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Written once, one row deleted, two rows added."""
    path = tmp_path / "items"
    shops = ["x y", "2/3", None, "x y"]
    write_deltalake(path, pl.DataFrame({"item_id": list("abcd"), "shop": shops}), partition_by=["shop"])
    DeltaTable(path).delete("item_id = 'a'")
    write_deltalake(path, pl.DataFrame({"item_id": ["e"], "shop": ["2/3"]}), mode="append")
    return path


def test_the_newest_version_is_read(path: Path) -> None:
    table = read(path)
    assert sorted(table.select("item_id", "shop").rows()) == [("b", "2/3"), ("c", None), ("d", "x y"), ("e", "2/3")]
    assert table[ROW].to_list() == [1, 2, 3, 4]
    assert len(list(path.rglob("*.parquet"))) == 5  # one more than is read


def test_values_of_partitions_are_the_logs(path: Path) -> None:
    """Not what a folder is called."""
    (path / "shop=x%20y").rename(path / "shop=other")
    for file in (path / "_delta_log").glob("*.json"):
        file.write_text(file.read_text().replace("shop=x%2520y", "shop=other"))
    assert ("d", "x y") in read(path).select("item_id", "shop").rows()


def test_partitions_by_numbers_and_days_become_text(tmp_path: Path) -> None:
    days = [date(2024, 2, 1), None]
    table = pl.DataFrame({"item_id": ["a", "b"], "day": days, "size": [5, 6], "new": [True, False]})
    write_deltalake(tmp_path / "items", table, partition_by=["day", "size", "new"])
    rows = read(tmp_path / "items").select("item_id", "day", "size", "new").rows()
    assert sorted(rows) == [("a", "2024-02-01", "5", "true"), ("b", None, "6", "false")]


def test_a_checkpoint_is_read(path: Path) -> None:
    DeltaTable(path).create_checkpoint()
    for file in (path / "_delta_log").glob("*.json"):
        file.unlink()
    assert read(path).height == 4


def _append(path: Path, *actions: dict[str, object]) -> None:
    """Another version of the log."""
    number = len(list((path / "_delta_log").glob("*.json")))
    lines = "".join(json.dumps(action) + "\n" for action in actions)
    (path / "_delta_log" / f"{number:020}.json").write_text(lines)


def _needs(feature: str) -> dict[str, object]:
    versions = {"minReaderVersion": 3, "minWriterVersion": 7}
    return {"protocol": {**versions, "readerFeatures": [feature], "writerFeatures": [feature]}}


def _add(name: str, **values: object) -> dict[str, object]:
    return {"add": {"path": name, "partitionValues": {"shop": "s"}, "size": 1, "modificationTime": 1,
                    "dataChange": True, **values}}  # fmt: skip


def _deletion_vector(*rows: int) -> bytes:
    """Delta's magic number, then one container of a 64-bit Roaring bitmap, as their specifications have them."""
    head = struct.pack("<IQI", 1681511377, 1, 0)
    bitmap = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16)
    return head + bitmap + struct.pack(f"<{len(rows)}H", *rows)


def _z85(data: bytes) -> str:
    """ZeroMQ's Base85; Python has it from 3.13 on."""
    digits = string.digits + string.ascii_lowercase + string.ascii_uppercase + ".-:+=^!/*?&<>()[]{}@%$#"
    numbers = struct.unpack(f">{len(data) // 4}I", data)
    return "".join(digits[number // 85**place % 85] for number in numbers for place in (4, 3, 2, 1, 0))


def test_deletion_vectors_are_refused_where_there_are_any(path: Path) -> None:
    _append(path, _needs("deletionVectors"))
    assert read(path).height == 4
    vector = {"storageType": "i", "pathOrInlineDv": _z85(_deletion_vector(3, 7)), "sizeInBytes": 36, "cardinality": 2}
    pl.DataFrame({"item_id": [str(number) for number in range(40)]}).write_parquet(path / "more.parquet")
    size = (path / "more.parquet").stat().st_size
    _append(path, _add("more.parquet", size=size, stats='{"numRecords":40}', deletionVector=vector))
    with pytest.raises(SourceError, match=r"items must be a Delta table without deletionVectors\. Export it"):
        read(path)


def test_renamed_columns_are_refused(path: Path) -> None:
    for file in sorted((path / "_delta_log").glob("*.json"))[:1]:
        renamed = file.read_text().replace('"configuration":{}', '"configuration":{"delta.columnMapping.mode":"name"}')
        file.write_text(renamed)
    with pytest.raises(SourceError, match=r"without columnMapping"):
        find_parts(path)


@pytest.mark.parametrize("name", ["../outside.parquet", "/etc/passwd"])
def test_files_outside_the_folder_are_refused(path: Path, name: str) -> None:
    _append(path, _add(name))
    with pytest.raises(SourceError, match=r"lies outside"):
        read(path)


def test_a_file_that_is_missing_and_a_broken_log(path: Path) -> None:
    _append(path, _add("gone.parquet"))
    with pytest.raises(SourceError, match=r"Its file gone\.parquet is missing"):
        read(path)
    for file in (path / "_delta_log").glob("*.json"):
        file.write_text("{")
    with pytest.raises(SourceError, match=r"items must be a Delta table\. Its log cannot be read"):
        read(path)


def test_without_the_package(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(SourceError, match=r"pip install 'tfdvbpr\[delta\]'"):
        find_parts(path)
