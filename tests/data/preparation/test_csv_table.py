from __future__ import annotations

import csv
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tfdvbpr.data.preparation.source import Quarantine
from tfdvbpr.data.preparation.tables import ROW, read_csv
from tfdvbpr.errors import SourceError

Rows = list[tuple[int, list[str]]]


def read(path: Path, data: bytes, *, block_bytes: int) -> tuple[Rows, list[tuple[int | None, str]]]:
    path.write_bytes(data)
    quarantine = Quarantine()
    table = read_csv(path, quarantine, block_bytes=block_bytes)
    rows = [(number, values) for *values, number in table.select(pl.exclude(ROW), ROW).rows()]
    return rows, [(row, value) for _, row, value, _ in quarantine.entries]


def by_the_csv_module(data: bytes) -> tuple[Rows, list[int]]:
    """The same by the standard library alone: rows that fit a header of two columns, and lines of those that do not."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines)
    rows: Rows = []
    bad: list[int] = []
    while True:
        before = reader.line_num
        try:
            fields = next(reader)
        except StopIteration:
            return rows, bad
        except csv.Error:
            bad.append(reader.line_num)
            continue
        joined = "".join(fields)
        broken = "\x00" in joined or any("\ud800" <= letter <= "\udfff" for letter in joined)
        if not "".join(lines[before : reader.line_num]).strip():
            continue
        if broken or len(fields) != 2:
            bad.append(reader.line_num)
        else:
            rows.append((reader.line_num, [field.strip() for field in fields]))


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
    data = b"h,i\n" + body
    rows, refused = read(tmp_path / "t.csv", data, block_bytes=block_bytes)
    (_, *expected), bad = by_the_csv_module(data)
    assert rows == expected
    assert [row for row, _ in refused] == bad


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("header", [b"h,i\n", b'"h","i"\r\n', b"\n\xff,no header\nh , i\n"])
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
    some = read_csv(tmp_path / "t.csv", Quarantine(), only=("c", "d"), block_bytes=8)
    assert some.to_dicts() == [{"c": "3", ROW: 2}, {"c": "6", ROW: 3}]
    assert read_csv(tmp_path / "t.csv", Quarantine(), only=(), block_bytes=8).to_dicts() == [{ROW: 2}, {ROW: 3}]


def test_a_field_beyond_the_csv_modules_limit(tmp_path: Path) -> None:
    long = b"x" * (csv.field_size_limit() + 1)
    rows, refused = read(tmp_path / "t.csv", b"h,i\n1,2\n" + long + b",3\n4,5\n", block_bytes=1 << 20)
    assert rows == [(2, ["1", "2"]), (4, ["4", "5"])]
    assert refused == [(3, "")]


def test_no_header(tmp_path: Path) -> None:
    for data in (b"", b"\n\n", b"\xef\xbb\xbf", b"\xff\n"):
        (tmp_path / "t.csv").write_bytes(data)
        with pytest.raises(SourceError, match="must start with a header line"):
            read_csv(tmp_path / "t.csv", Quarantine())
