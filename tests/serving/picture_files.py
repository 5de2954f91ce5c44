"""Small picture files, whole and broken."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image


def _file(kind: str, color: tuple[int, int, int], **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), color).save(buffer, kind, **options)
    return buffer.getvalue()


def png(red: int = 10, green: int = 20, blue: int = 30) -> bytes:
    return _file("PNG", (red, green, blue))


def jpeg(*, progressive: bool = False) -> bytes:
    return _file("JPEG", (10, 20, 30), progressive=progressive)


def gif() -> bytes:
    return _file("GIF", (10, 20, 30))


def png_that_claims(width: int, height: int) -> bytes:
    """A valid header, and next to nothing behind it: the bomb is in what a decoder makes room for."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
