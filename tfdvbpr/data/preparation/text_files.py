"""Text files from outside as UTF-8, whatever their compression and encoding; both are found in the first mebibyte."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from tfdvbpr.data.preparation.source import TableFacts
from tfdvbpr.errors import SourceError

# What a compressed file may expand to: so much, and so much for each of its bytes.
MOST_BYTES, BYTES_PER_BYTE = 1 << 28, 64
_SAMPLE = 1 << 20
_PART = 1 << 16
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_OTHER_FILES = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ\x00": "compressed by xz",
    b"PAR1": "a parquet file",
    b"%PDF": "a PDF",
}
_TWO_LETTERS = {rb"[^\0]\0[^\0]\0": "utf-16-le", rb"\0[^\0]\0[^\0]": "utf-16-be"}
_HIGH = re.compile(rb"[\x80-\xff]+")
# Without a meaning in cp1252; and ÿ, which is damage more often than a letter.
_NOT_CP1252 = re.compile(rb"[\x00\x81\x8d\x8f\x90\x9d\xff]")
_BROKEN = "tfdvbpr.broken"  # an error handler: a lone surrogate, which no text has, for what cannot be decoded


def _marked(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(_BROKEN, _marked)


def open_text(path: Path, facts: TableFacts) -> tuple[BinaryIO, str]:
    """Opens a text file as UTF-8 without a byte order mark.

    UTF-8, UTF-16 and UTF-32 with a mark, UTF-16 without one and Latin-1 (as cp1252, which holds it) are read; what
    cannot be decoded stays no UTF-8, so that a reader of rows finds it. Gzip and zstd are known by their first bytes.

    Args:
        path: the file.
        facts: its encoding and compression are filled in.

    Returns:
        The file, and the text of its first MiB at most.

    Raises:
        SourceError: if it is no text; while it is read: if it is damaged or expands to more than its size allows.
    """
    with path.open("rb") as beginning:
        start = beginning.read(8)
    for magic, what in _OTHER_FILES.items():
        if start.startswith(magic):
            raise SourceError(
                f"{path.name} must be text, or text compressed by gzip or zstd. It is {what}. Export it as CSV."
            )
    facts.compression = next((name for magic, name in _COMPRESSIONS.items() if start.startswith(magic)), None)
    with _open(path, facts.compression) as beginning:
        sample = beginning.read(_SAMPLE)
    encoding = find_encoding(sample)
    facts.encoding = encoding.removesuffix("-sig")
    file = _open(path, facts.compression)
    text = codecs.getincrementaldecoder(encoding)(_BROKEN).decode(sample)
    if encoding == "utf-8":
        return file, text
    if encoding == "utf-8-sig":
        file.read(len(codecs.BOM_UTF8))
        return file, text
    return io.BufferedReader(_AsUtf8(file, encoding), _PART), text


def find_encoding(sample: bytes) -> str:
    """The encoding of a text by its first bytes, as Python's codecs are called.

    By its byte order mark; as UTF-16 by zeros beside its first two letters; else as UTF-8, unless none of its bytes
    above 127 are such, and all are letters and signs of cp1252 that mostly stand in runs of at most two, as accents do.
    """
    for mark, name in _BOMS.items():
        if sample.startswith(mark):
            return name
    for pattern, name in _TWO_LETTERS.items():
        if re.match(pattern, sample, re.DOTALL):
            return name
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        runs = [len(run) for run in _HIGH.findall(sample)]
        alone = sum(length for length in runs if length <= 2)
        multibyte = re.search(r"[^\x00-\x7f\udc80-\udcff]", sample.decode("utf-8", "surrogateescape"))
        if multibyte is None and not _NOT_CP1252.search(sample) and alone > 0.5 * sum(runs):
            return "cp1252"
    return "utf-8"


def _open(path: Path, compression: str | None) -> BinaryIO:
    return path.open("rb") if compression is None else io.BufferedReader(_Expanded(path, compression), _PART)


class _Expanded(io.RawIOBase):
    """The bytes of a compressed file, no more of them than its size allows."""

    def __init__(self, path: Path, compression: str) -> None:
        self._path = path
        size = path.stat().st_size
        self._most = self._left = MOST_BYTES + BYTES_PER_BYTE * size
        open_file = gzip.open if compression == "gzip" else partial(pa.input_stream, compression=compression)
        self._file: Any = open_file(str(path))

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Reads the next bytes."""
        try:
            data = self._file.read(len(buffer))
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise SourceError(f"{self._path.name} must be whole. It cannot be read: {error}. Fetch it again.") from None
        self._left -= len(data)
        if self._left < 0:
            raise SourceError(
                f"{self._path.name} must expand to at most {self._most >> 20:,} MiB, by its size. It holds more. "
                "Do not trust the file, or expand it yourself."
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        super().close()


class _AsUtf8(io.RawIOBase):
    """A text of another encoding as UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)(_BROKEN)
        self._ready, self._ended = b"", False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Reads the next bytes."""
        while not self._ready and not self._ended:
            data = self._file.read(_PART)
            self._ended = not data
            self._ready = self._decoder.decode(data, final=self._ended).encode("utf-8", "surrogatepass")
        part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        super().close()
