"""Parquet files of kilobytes that would be gigabytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfdvbpr.data.importers.folder import read_folder
from tfdvbpr.data.preparation.parquet_table import read_parquet_table
from tfdvbpr.errors import SourceError


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
        read_parquet_table(path)


@pytest.mark.parametrize("where", [-40, -9])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, where: int) -> None:
    path = tmp_path / "items.parquet"
    pl.DataFrame({"item_id": ["a", "b"], "image": ["a.jpg", "b.jpg"]}).write_parquet(path)
    data = bytearray(path.read_bytes())
    data[where : where + 8] = b"\xff" * len(data[where : where + 8])
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"items\.parquet must be a parquet file\. It cannot be read"):
        read_parquet_table(path)


def test_columns_of_text_and_numbers_become_text(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    columns = {"a": ["x", None], "b": [1, 2], "c": [[1], [2]], "d": [True, False]}
    pl.DataFrame(columns).write_parquet(path)
    assert read_parquet_table(path).to_dict(as_series=False) == {
        "a": ["x", None],
        "b": ["1", "2"],
        "d": ["true", "false"],
    }
    assert read_parquet_table(path, only=("b", "c", "z")).columns == ["b"]
