"""Small image files, whole and broken."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image


def image_file(
    kind: str, color: tuple[int, int, int] = (10, 20, 30), *, size: tuple[int, int] = (3, 2), **options: object
) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, kind, **options)
    return buffer.getvalue()


def png(red: int = 10, green: int = 20, blue: int = 30) -> bytes:
    return image_file("PNG", (red, green, blue))


def jpeg(*, progressive: bool = False) -> bytes:
    return image_file("JPEG", progressive=progressive)


def gif() -> bytes:
    return image_file("GIF")


def png_with_size(width: int, height: int) -> bytes:
    """A valid header, and next to nothing behind it: a decoder would allocate the declared size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def jpeg_with_scans(count: int, *, size: tuple[int, int] = (3, 2)) -> bytes:
    """A progressive JPEG whose last scan is repeated; libjpeg decodes it, and goes through the image for each."""
    file = image_file("JPEG", size=size, progressive=True)
    scan = file[file.rindex(b"\xff\xda") : -2]
    return file[:-2] + scan * count + b"\xff\xd9"
