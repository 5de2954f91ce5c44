"""How many pixels a picture file claims to have, read from its header: what a decoder would have to allocate."""

from __future__ import annotations

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0..SOF15 without DHT, JPG and DAC
_JPEG_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers that carry no length
_JPEG_SCAN = 0xDA


def claimed_pixels(file: bytes) -> int | None:
    """Width × height as a PNG, JPEG, GIF or BMP header says.

    Nothing is decoded: a few kilobytes of PNG may claim billions of pixels, more than there is memory for.

    Returns:
        None where the file is of another kind, or its header is broken off: that a decoder refuses cheaply.
    """
    if file.startswith(_PNG):
        return _number(file, 16, 4, "big") * _number(file, 20, 4, "big") if len(file) >= 24 else None
    if file.startswith(_JPEG):
        return _jpeg_pixels(file)
    if file.startswith((b"GIF87a", b"GIF89a")) and len(file) >= 10:
        return _number(file, 6, 2, "little") * _number(file, 8, 2, "little")
    if file.startswith(b"BM") and len(file) >= 26:
        return abs(_signed(file, 18)) * abs(_signed(file, 22))  # a negative height is a picture from the top down
    return None


def _jpeg_pixels(file: bytes) -> int | None:
    """Walks the segments before the first scan; of several frame headers, the largest counts."""
    position, largest = 2, None
    while position + 4 <= len(file) and file[position] == 0xFF:
        marker = file[position + 1]
        if marker == 0xFF:  # fill bytes
            position += 1
        elif marker in _JPEG_ALONE:
            position += 2
        elif marker == _JPEG_SCAN:
            break
        else:
            if marker in _JPEG_FRAMES and position + 9 <= len(file):
                pixels = _number(file, position + 5, 2, "big") * _number(file, position + 7, 2, "big")
                largest = max(pixels, largest or 0)
            position += 2 + _number(file, position + 2, 2, "big")
    return largest


def _number(file: bytes, start: int, size: int, order: str) -> int:
    return int.from_bytes(file[start : start + size], "big" if order == "big" else "little")


def _signed(file: bytes, start: int) -> int:
    return int.from_bytes(file[start : start + 4], "little", signed=True)
