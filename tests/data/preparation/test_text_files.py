"""Compression, encodings and delimiters that are found, and named."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from tfdvbpr.data.preparation import text_files
from tfdvbpr.data.preparation.csv_table import find_delimiter, read_csv
from tfdvbpr.data.preparation.rows import ROW
from tfdvbpr.data.preparation.source import Quarantine, TableFacts
from tfdvbpr.data.preparation.text_files import find_encoding, open_text
from tfdvbpr.errors import SourceError

TEXT = "item_id,name\n1,Größe\n2,café\n3,plain\n"


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_every_encoding_in_every_compression(tmp_path: Path, encoding: str, compression: str | None) -> None:
    path, quarantine = tmp_path / "t.csv", Quarantine()
    pack = {None: bytes, "gzip": gzip.compress, "zstd": zstd}[compression]
    path.write_bytes(pack(TEXT.encode(encoding)))
    table = read_csv(path, quarantine, block_bytes=8)
    assert table.rows() == [("1", "Größe", 2), ("2", "café", 3), ("3", "plain", 4)]
    facts = quarantine.tables["t.csv"]
    assert (facts.encoding, facts.compression) == (encoding.removesuffix("-sig"), compression)
    assert len(quarantine) == 0


@pytest.mark.parametrize(
    ("sample", "encoding"),
    [
        (b"", "utf-8"),
        (b"plain", "utf-8"),
        ("é".encode() + b"\xff", "utf-8"),  # a damaged row among good ones
        ("é".encode()[:1], "utf-8"),  # the sample ends within a letter
        (b"caf\xe9,", "cp1252"),
        (b"\x80 5, \x93x\x94", "cp1252"),
        (b"caf\xe9 \x81", "utf-8"),  # no cp1252 either
        ("Платье,Юбка".encode("cp1251") + b",", "utf-8"),
        ("連衣裙,裙子".encode("gbk") + b",", "utf-8"),
        (b"ab,\x00,\xff", "utf-8"),
    ],
)
def test_the_encoding_by_the_first_bytes(sample: bytes, encoding: str) -> None:
    assert find_encoding(sample) == encoding


def test_rows_that_are_no_text_in_the_files_encoding_are_listed(tmp_path: Path) -> None:
    path, quarantine = tmp_path / "t.csv", Quarantine()
    lone = "a,b\n1,2\n3,\ud800\n5,6\n".encode("utf-16-le", "surrogatepass")
    path.write_bytes(b"\xff\xfe" + lone + b"7")
    assert read_csv(path, quarantine).rows() == [("1", "2", 2), ("5", "6", 4)]
    assert [(entry.row, entry.detail) for entry in quarantine.entries] == [
        (3, "not UTF-16 text"),
        (5, "not UTF-16 text"),
    ]


@pytest.mark.parametrize(
    ("lines", "delimiter", "before"),
    [
        ("a,b\n1,2\n", ",", 0),
        ("a;b\n1,5;2,5\n", ";", 0),
        ("a\tb, c\td\n1\t2\t3\n", "\t", 0),
        ("a|b\n", "|", 0),
        ("a;b,c\n1;2\n3;4,5\n6;7\n", ";", 0),
        ('"a,b,c";d\n1;2\n', ";", 0),
        ("\nsep=;\na;b,c,d\n", ";", 1),
        ("item_id\n1\n", ",", 0),
        ("", ",", 0),
    ],
)
def test_the_delimiter_by_the_header(lines: str, delimiter: str, before: int) -> None:
    assert find_delimiter(lines) == (delimiter, before)


@pytest.mark.parametrize("quote", ["", '"'], ids=["plain", "quoted"])
@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_read_as_commas_are(tmp_path: Path, delimiter: str, quote: str) -> None:
    rows = [("h", "i"), ("1", f"{quote}two, and{quote}"), ("3", "4"), ("5", "6", "7"), ("", ""), ("8", "9")]
    path, quarantine = tmp_path / "t.csv", Quarantine()
    path.write_text("".join(delimiter.join(row) + "\n" for row in rows))
    table = read_csv(path, quarantine)
    assert table.rows() == [("1", "two, and", 2), ("3", "4", 3), ("", "", 5), ("8", "9", 6)]
    assert [entry.row for entry in quarantine.entries] == [4]
    assert quarantine.tables["t.csv"].delimiter == delimiter


def test_an_unclosed_quote_between_semicolons(tmp_path: Path) -> None:
    path, quarantine = tmp_path / "t.csv", Quarantine()
    path.write_text('sep=;\nh;i\ni1;"open\n' + "".join(f"i{row};x\n" for row in range(2, 9)))
    assert read_csv(path, quarantine)[ROW].to_list() == list(range(4, 11))
    assert quarantine.tables["t.csv"].runaway_cells == [3]


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_file_that_expands_beyond_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: object
) -> None:
    monkeypatch.setattr(text_files, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(text_files, "BYTES_PER_BYTE", 1)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(pack(b"a,b\n" + b"1,2\n" * (1 << 20)))  # type: ignore[operator]
    with pytest.raises(SourceError, match=r"must expand to at most 1 MiB, by its size\. It holds more"):
        read_csv(path, Quarantine())


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_compressed_file_that_is_cut_is_refused(tmp_path: Path, pack: object) -> None:
    path = tmp_path / "t.csv.gz"
    data = pack("".join(f"{row},{row * 7919}\n" for row in range(10_000)).encode())  # type: ignore[operator]
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match=r"t\.csv\.gz must be whole\. It cannot be read"):
        read_csv(path, Quarantine())


@pytest.mark.parametrize(("start", "what"), [(b"PK\x03\x04", "Excel"), (b"PAR1", "parquet"), (b"BZh9", "bzip2")])
def test_files_of_other_kinds_are_named(tmp_path: Path, start: bytes, what: str) -> None:
    (tmp_path / "t.csv").write_bytes(start + b"rest")
    with pytest.raises(SourceError, match=what):
        open_text(tmp_path / "t.csv", TableFacts(name="t.csv"))
