"""Parquet files of kilobytes that would be gigabytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.preparation import parquet_table
from tfdvbpr.data.preparation.columns import Columns
from tfdvbpr.data.preparation.parquet_table import read_parquet_table
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import TableFacts
from tfdvbpr.errors import SourceError


def read(path: Path, columns: Columns | None = None) -> pl.DataFrame:
    return read_parquet_table(path, TableFacts(name=path.name), columns or Columns())


def _repeated(path: Path) -> None:
    """One text of 10 kB, a million times: 10 GB."""
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["x" * 10_000]))
    pq.write_table(pa.table({"item_id": column, "image": column}), path)


def _many_rows(path: Path) -> None:
    """A run of 100 million equal numbers in each column."""
    column = pa.array([1], pa.int8()).take(pa.array([0] * 1_000_000, pa.int32()))
    table = pa.table({"item_id": column, "image": column})
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(20):
            writer.write_table(table)


@pytest.mark.parametrize(
    ("write", "named"),
    [
        (_repeated, r"at most \d+ MiB of text"),
        (_many_rows, r"at most [\d,]+ values, by its size\. It declares 40,000,000"),
    ],
)
def test_a_small_file_that_holds_gigabytes_is_refused(
    tmp_path: Path, write: Callable[[Path], None], named: str
) -> None:
    path = tmp_path / "items.parquet"
    write(path)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(SourceError, match=named):
        read_folder(tmp_path, with_interactions=False)


def test_a_page_that_expands_beyond_the_childs_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 MB, of which zstd makes some kilobytes."""
    monkeypatch.setattr("tfdvbpr.child.MEMORY", 1 << 26)
    path = tmp_path / "items.parquet"
    pq.write_table(pa.table({"item_id": ["x" * 100_000_000]}), path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(SourceError, match=r"must need no more memory|ended with -"):
        read(path)


@pytest.mark.parametrize("where", [-40, -9])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, where: int) -> None:
    path = tmp_path / "items.parquet"
    pl.DataFrame({"item_id": ["a", "b"], "image": ["a.jpg", "b.jpg"]}).write_parquet(path)
    data = bytearray(path.read_bytes())
    data[where : where + 8] = b"\xff" * len(data[where : where + 8])
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"items\.parquet must be a parquet file\. It cannot be read"):
        read(path)


def test_columns_of_text_and_numbers_become_text(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    columns = {"a": ["x", None], "b": [1, 2], "c": [[1], [2]], "d": [True, False]}
    pl.DataFrame(columns).write_parquet(path)
    assert read(path).to_dict(as_series=False) == {
        "a": ["x", None],
        "b": ["1", "2"],
        "d": ["true", "false"],
        ROW: [1, 2],
    }
    assert read(path, Columns(("b", "c", "z"), others=False)).columns == ["b", ROW]


def _hive(folder: Path) -> Path:
    for month, items in (("2024-02", ["a", "b"]), ("2024-01", ["c"]), ("__HIVE_DEFAULT_PARTITION__", ["d"])):
        part = folder / f"month={month}" / "shop=A%2FB"
        part.mkdir(parents=True)
        pl.DataFrame({"item_id": items}).write_parquet(part / "part-0.parquet")
    (folder / "_SUCCESS").touch()
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "half.parquet").write_bytes(b"not yet")
    return folder


def test_a_folder_of_parquet_files_with_partitions(tmp_path: Path) -> None:
    table = read(_hive(tmp_path / "items"), Columns(("month",)))
    assert table.rows() == [
        ("c", "2024-01", "A/B", 1),
        ("a", "2024-02", "A/B", 2),
        ("b", "2024-02", "A/B", 3),
        ("d", None, "A/B", 4),
    ]
    assert table.columns == ["item_id", "month", "shop", ROW]
    assert read(tmp_path / "items", Columns(("month",), others=False)).columns == ["month", ROW]


def test_files_of_a_folder_may_have_different_columns(tmp_path: Path) -> None:
    (tmp_path / "items").mkdir()
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "items" / "1.parquet")
    pl.DataFrame({"b": [2]}).write_parquet(tmp_path / "items" / "2.parquet")
    assert read(tmp_path / "items").rows() == [("1", None, 1), (None, "2", 2)]


def test_folders_that_are_refused(tmp_path: Path) -> None:
    folder = _hive(tmp_path / "items")
    (folder / "metadata").mkdir()
    with pytest.raises(SourceError, match=r"It is an Iceberg table, whose files hold deleted rows too"):
        read(folder)
    (folder / "metadata").rmdir()
    pl.DataFrame({"item_id": ["x"]}).write_parquet(tmp_path / "outside.parquet")
    (folder / "link.parquet").symlink_to(tmp_path / "outside.parquet")
    with pytest.raises(SourceError, match=r"link\.parquet lies outside"):
        read(folder)


def test_a_folder_is_bounded_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "items").mkdir()
    for number in range(3):
        pl.DataFrame({"a": range(10)}).write_parquet(tmp_path / "items" / f"{number}.parquet")
    monkeypatch.setattr(parquet_table, "MOST_VALUES", 25)
    monkeypatch.setattr(parquet_table, "VALUES_PER_BYTE", 0)
    with pytest.raises(SourceError, match=r"at most 25 values, by its size\. It declares 30"):
        parquet_table.measure_parquet(tmp_path / "items", io.BytesIO())
