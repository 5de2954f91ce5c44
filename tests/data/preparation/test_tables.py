from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import Quarantine
from tfdvbpr.data.preparation.tables import find_table, read_table
from tfdvbpr.errors import SourceError


def _read(folder: Path, data: bytes) -> tuple[pl.DataFrame, Quarantine]:
    (folder / "things.csv").write_bytes(data)
    quarantine = Quarantine()
    return read_table(folder, "things", required=("a", "b"), quarantine=quarantine), quarantine


def test_rows_keep_their_line_numbers_and_other_columns(tmp_path: Path) -> None:
    table, quarantine = _read(tmp_path, b'\xef\xbb\xbfa, b ,note\r\n1,2,x\r\n\r\n3, 4 ,"y, ""z"""\r\n')
    assert table.to_dicts() == [
        {"a": "1", "b": "2", "note": "x", ROW: 2},
        {"a": "3", "b": "4", "note": 'y, "z"', ROW: 4},
    ]
    assert len(quarantine) == 0


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1,2,3", "3 fields where the header has 2"),
        (b"1", "1 fields where the header has 2"),
        (b",2", "nothing in a"),
        (b"  ,", "nothing in a, b"),
        (b"1\x002,3", "malformed row"),
        (b"\xff\xfe,3", "not UTF-8"),
    ],
    ids=["too-many", "too-few", "empty", "blank", "nul", "latin-1"],
)
def test_a_bad_row_is_listed_and_the_rest_read(tmp_path: Path, row: bytes, reason: str) -> None:
    table, quarantine = _read(tmp_path, b"a,b\n5,6\n" + row + b"\n7,\xc3\xa9\n")
    assert table["a"].to_list() == ["5", "7"]
    assert table["b"].to_list() == ["6", "é"]
    (entry,) = quarantine.entries
    where, number, reported = entry.where, entry.row, entry.reason
    assert (where, number) == ("things.csv", 3)
    assert reported.startswith("malformed row")
    assert reason in reported


def test_ids_are_text_and_not_numbers(tmp_path: Path) -> None:
    table, _ = _read(tmp_path, b"a,b\n007,1e5\nNA,null\n")
    assert table["a"].to_list() == ["007", "NA"]
    assert table["b"].to_list() == ["1e5", "null"]


def test_wrong_header_names_what_is_there_and_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"must have the columns a, b. It lacks b. Received a, c. Name or rename b"):
        _read(tmp_path, b"a,c\n1,2\n")


def test_repeated_column(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="each column once"):
        _read(tmp_path, b"a,a,b\n1,2,3\n")


def test_empty_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="header line"):
        _read(tmp_path, b"")


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"things.csv or things.parquet"):
        read_table(tmp_path, "things", required=("a",), quarantine=Quarantine())


def test_parquet_is_taken_first_and_read_as_text(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1, 2, None], "b": ["x", "", "z"], "list": [[1], [2], [3]]}).write_parquet(
        tmp_path / "things.parquet"
    )
    table, quarantine = _read(tmp_path, b"a,b\nnot,this\n")
    assert table.to_dicts() == [{"a": "1", "b": "x", ROW: 1}]
    assert [(entry.row, entry.reason) for entry in quarantine.entries] == [
        (2, "malformed row: nothing in b"),
        (3, "malformed row: nothing in a"),
    ]


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "things.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(SourceError, match="cannot be read"):
        read_table(tmp_path, "things", required=("a",), quarantine=Quarantine())


def test_quarantine_counts_and_writes(tmp_path: Path) -> None:
    quarantine = Quarantine()
    quarantine.write(tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text() == "where,row,item_id,value,reason,hint\n"
    assert quarantine.summary() == "nothing left out"
    quarantine.add("x.csv", 3, "v" * 500, kind="bad", detail="why, exactly", item_id="i1", hint="mend it")
    quarantine.add("y.jpg", None, "y", kind="worse")
    quarantine.add("z.jpg", None, "z", kind="worse")
    quarantine.write(tmp_path / "some.csv")
    table = pl.read_csv(tmp_path / "some.csv")
    assert table.row(0) == ("x.csv", 3, "i1", "v" * 200, "bad: why, exactly", "mend it")
    assert quarantine.summary() == "2 worse, 1 bad"


def test_json_lines_as_a_table(tmp_path: Path) -> None:
    lines = [
        '{"a": " x ", "B": 1, "in_stock": true, "sizes": [1], "more": {"y": 1}}',
        "",
        '{"a": "y", "b": null, "later": 2.5}',
        '{"a": "z", "b": "3", "n": "\\ud800"}',
        "[1]",
        '{"a": 7, "b": "4"}',
    ]
    (tmp_path / "things.jsonl").write_text("\n".join(lines))
    quarantine = Quarantine()
    table = read_table(tmp_path, "things", required=("a",), quarantine=quarantine)
    assert table.rows(named=True)[0] == {"a": "x", "B": "1", "in_stock": "true", "b": "", "later": "", ROW: 1}
    assert table.select("a", "b", "later", ROW).rows()[1:] == [("y", "", "2.5", 3), ("7", "4", "", 6)]
    lone, listed = quarantine.entries
    assert (lone.row, listed.row) == (4, 5)
    assert "not UTF-8 text" in lone.detail
    assert listed.detail == "a JSON list where an object must be"


def test_json_lines_of_ever_new_keys_are_refused(tmp_path: Path) -> None:
    (tmp_path / "things.jsonl").write_text("\n".join(f'{{"a{number}": 1}}' for number in range(1001)))
    with pytest.raises(SourceError, match="at most 1,000 keys"):
        read_table(tmp_path, "things", required=("a",), quarantine=Quarantine())


def test_which_of_several_files_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "1.jpg").touch()
    for name in ("THINGS.TSV", "things.old.csv", "things.csv.gz"):
        (tmp_path / name).write_text("a\n1\n")
    assert find_table(tmp_path, "things").name == "things.csv.gz"
    assert "things.csv.gz is read; THINGS.TSV beside it is not" in caplog.text
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "things" / "part.parquet")
    (tmp_path / "things.csv.gz").unlink()
    (tmp_path / "THINGS.TSV").unlink()
    assert find_table(tmp_path, "things") == tmp_path / "things"
    (tmp_path / "things" / "part.parquet").unlink()
    with pytest.raises(SourceError, match=r"has things, things\.old\.csv, which is none of these"):
        find_table(tmp_path, "things")
