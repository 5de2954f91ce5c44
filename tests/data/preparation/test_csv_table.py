from __future__ import annotations

import csv
import io
from pathlib import Path

import polars as pl
import pyarrow.csv
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tfdvbpr.data.preparation.columns import Columns
from tfdvbpr.data.preparation.csv_table import read_csv, swallows_rows
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import Quarantine
from tfdvbpr.errors import SourceError

Rows = list[tuple[int, list[str]]]


def read(path: Path, data: bytes, *, block_bytes: int) -> tuple[Rows, list[tuple[int | None, str]]]:
    path.write_bytes(data)
    quarantine = Quarantine()
    table = read_csv(path, quarantine, block_bytes=block_bytes)
    rows = [(number, values) for *values, number in table.select(pl.exclude(ROW), ROW).rows()]
    return rows, [(entry.row, entry.value) for entry in quarantine.entries]


def by_the_csv_module(data: bytes) -> tuple[Rows, list[int]]:
    """The same by the standard library, line by line: rows that fit a header of two columns, and lines that do not."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    lines = list(io.StringIO(text, newline=""))
    rows: Rows = []
    bad: list[int] = []
    first = 0
    while first < len(lines):
        reader = csv.reader(lines[first:])
        try:
            fields, failed = next(reader), False
        except csv.Error:
            fields, failed = [], True
        record = lines[first : first + reader.line_num]
        if len(record) > 1 and (failed or not _is_whole(record) or swallows_rows(record, 2)):
            record, failed = record[:1], True  # an unclosed quote costs its own line alone
        first += len(record)
        joined = "".join(fields)
        broken = "\x00" in joined or any("\ud800" <= letter <= "\udfff" for letter in joined)
        if not failed and not "".join(record).strip():
            continue
        if failed or broken or len(fields) != 2:
            bad.append(first)
        else:
            rows.append((first, [field.strip() for field in fields]))
    return rows, bad


def _is_whole(record: list[str]) -> bool:
    try:
        return len(list(csv.reader(record, strict=True))) == 1
    except csv.Error:
        return False


_PIECES = [
    *(b"a", b"7", b",", b",", b"\n", b"\n", b"\r\n", b"\r", b" ", b"\t", b'"', b'""', b"\x00", b"\x1d", b"\xff", b"|"),
    *("é".encode(), "\u2028".encode(), "\x85".encode(), "\xa0".encode(), b"\xed\xa0\x80", b"1,2\n", b"3,4\r\n"),
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(_PIECES), max_size=40).map(b"".join), st.sampled_from([1, 7, 64, 1 << 20]))
@example(b'1,"2\n', 1)
@example(b"1,2\r", 1)
@example(b'1,2\n""\n"\n ', 7)
@example(b'5,6\n1,"2\n3",4\n"7,8', 7)
@example(b"1,\r2\n3,4\n", 7)
def test_blocks_of_any_size_read_what_the_csv_module_reads(tmp_path: Path, body: bytes, block_bytes: int) -> None:
    data = b"h,i\n" + "é,é\n".encode() + body  # the second line says that it is UTF-8
    rows, refused = read(tmp_path / "t.csv", data, block_bytes=block_bytes)
    (_, *expected), bad = by_the_csv_module(data)
    assert rows == expected
    assert [row for row, _ in refused] == bad


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("header", [b"h,i\n", b'"h","i"\r\n', b"\n\xff,\xc3\xa9,no header\nh , i\n"])
def test_a_plain_table_over_many_blocks(tmp_path: Path, bom: bytes, header: bytes) -> None:
    body = b"".join(b"a%d, b%d\n" % (number, number) for number in range(5000))
    rows, refused = read(tmp_path / "t.csv", bom + header + body, block_bytes=1000)
    first = header.count(b"\n") + 1
    assert rows == [(first + number, [f"a{number}", f"b{number}"]) for number in range(5000)]
    assert [row for row, _ in refused] == ([2] if b"\xff" in header else [])


def test_chosen_columns_and_a_column_of_our_own_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"a,{ROW},c\n1,2,3\n4,5,6\n")
    everything = read_csv(tmp_path / "t.csv", Quarantine(), block_bytes=8)
    assert everything.to_dicts() == [{"a": "1", "c": "3", ROW: 2}, {"a": "4", "c": "6", ROW: 3}]
    some = read_csv(tmp_path / "t.csv", Quarantine(), columns=Columns(("c", "d"), others=False), block_bytes=8)
    assert some.to_dicts() == [{"c": "3", ROW: 2}, {"c": "6", ROW: 3}]
    none = read_csv(tmp_path / "t.csv", Quarantine(), columns=Columns(others=False), block_bytes=8)
    assert none.to_dicts() == [{ROW: 2}, {ROW: 3}]


def test_a_field_beyond_the_csv_modules_limit(tmp_path: Path) -> None:
    long = b"x" * (csv.field_size_limit() + 1)
    rows, refused = read(tmp_path / "t.csv", b"h,i\n1,2\n" + long + b",3\n4,5\n", block_bytes=1 << 20)
    assert rows == [(2, ["1", "2"]), (4, ["4", "5"])]
    assert refused == [(3, "")]


def test_an_unclosed_quote_costs_its_own_row_alone(tmp_path: Path) -> None:
    body = b'1,2\n3,"five" and more\n5,"open\n7,8\n9,"two\nlines"\n11,"open again\n"12",13\n'
    rows, refused = read(tmp_path / "t.csv", b"h,i\n" + body, block_bytes=1 << 20)
    kept = [["1", "2"], ["3", "five and more"], ["7", "8"], ["9", "two\nlines"], ["12", "13"]]
    assert rows == list(zip([2, 3, 5, 7, 9], kept, strict=True))
    assert refused == [(4, '5,"open'), (8, '11,"open again')]


def test_an_unclosed_quote_in_a_large_file(tmp_path: Path) -> None:
    body = b"".join(b"%d,x\n" % number for number in range(100_000))
    rows, refused = read(tmp_path / "t.csv", b'h,i\n-1,"x\n' + body, block_bytes=1 << 20)
    assert [int(values[0]) for _, values in rows] == list(range(100_000))
    assert refused == [(2, '-1,"x')]


def test_why_pyarrow_does_not_read_our_tables() -> None:
    """It numbers bad rows without the blank lines, the kept ones not at all, and an unclosed quote swallows rows."""
    bad: list[int] = []

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        bad.append(row.number)
        return "skip"

    read_options = pyarrow.csv.ReadOptions(use_threads=False)
    parse_options = pyarrow.csv.ParseOptions(invalid_row_handler=skip)
    table = pyarrow.csv.read_csv(io.BytesIO(b"h,i\n1,2\n\n3\n4,5\n"), read_options, parse_options)
    assert (bad, table.column_names, table.num_rows) == ([3], ["h", "i"], 2)  # it is line 4
    table = pyarrow.csv.read_csv(io.BytesIO(b'h,i\n1,"open\n3,4\n5,6\n'), read_options, parse_options)
    assert (bad, table.num_rows) == ([3], 1)


def test_no_header(tmp_path: Path) -> None:
    for data in (b"", b"\n\n", b"\xef\xbb\xbf", b"\xff\xc3\xa9\n"):
        (tmp_path / "t.csv").write_bytes(data)
        with pytest.raises(SourceError, match="must start with a header line"):
            read_csv(tmp_path / "t.csv", Quarantine())
